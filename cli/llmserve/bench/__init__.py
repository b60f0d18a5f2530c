"""The load generator.

    workload + schedule ──▶ loop ──▶ digest ──▶ table ──▶ summary ──▶ report
    (what, when)            (sockets)  (tokens)   (columns)  (figures)

``loop`` alone touches sockets and only stores (stamp, bytes); everything that interprets runs when it
has time to spare. The vocabulary stands in ``records``.
"""
