"""The real SDKs, run over bytes that were recorded: what a client makes of exactly this answer.

Nothing is asked of the endpoint again, so no tokens are spent and its key never reaches another process. The SDKs run
in processes of their own, where they are installed; llmserve needs none of them.
"""
