"""From a model, a machine and a goal to a plan. Pure: no files, no sockets, no GPU libraries."""
