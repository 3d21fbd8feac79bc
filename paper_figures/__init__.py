"""The figures of the papers, drawn again from the code: one module a figure.

Each has ``compute() -> data``, ``plot(data) -> Figure``, ``caption(data) -> str`` and ``main()``,
and the numbers of its caption come from the same run as its lines.
``python -m paper_figures all`` draws them all.
"""
