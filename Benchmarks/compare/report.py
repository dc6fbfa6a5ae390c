"""The results as a Markdown table, and as data for a plot. Writes nothing itself."""

from figures import Summary, number


def spread(summary):
    """A median and its bounds, unless there was one round only."""
    if summary.least == summary.most:
        return number(summary.median)
    return f"{number(summary.median)} ({number(summary.least)}–{number(summary.most)})"


def table(rows):
    """Ratios first: they are what another machine would find too."""
    lines = [
        "| what | ours ÷ theirs | target | met | ours | theirs | unit |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    # The sort is stable: rows stay in the order they were measured in.
    for row in sorted(rows, key=lambda row: row.ratio is None):
        ratio = f"**{spread(row.ratio)}**" if row.ratio else ""
        theirs = f"{spread(Summary.of(row.theirs))} {row.peer}".strip() if row.theirs else ""
        target = str(row.target) if row.target else ""
        if row.target and row.ratio and not row.is_ratio_judged:
            target += f" {row.unit}"
        ours = spread(Summary.of(row.ours))
        lines.append(f"| {row.what} | {ratio} | {target} | {row.verdict} | {ours} | {theirs} | {row.unit} |")
    return lines


def document(rows, facts, problems, profile):
    """The whole file."""
    lines = ["# Benchmarks", ""]
    lines += [f"- {name}: {value}" for name, value in facts]
    lines += ["", f"Medians of {profile}; in brackets the least and the most.", ""]
    lines += table(rows)
    notes = [row for row in rows if row.note]
    if notes:
        lines += ["", "Notes", ""]
        lines += [f"- {row.what}: {row.note}" for row in notes]
    if problems:
        lines += ["", "Not measured", ""]
        lines += [f"- {problem}" for problem in problems]
    return "\n".join(lines) + "\n"


def plot_data(rows):
    """One line a ratio: its place, its median, its least and most, its target or NaN, its name."""
    lines = []
    compared = [row for row in rows if row.ratio]
    for place, row in enumerate(compared):
        ratio = row.ratio
        target = "NaN"
        if row.target and row.is_ratio_judged:
            target = row.target.at_least if row.target.at_least is not None else row.target.at_most
        # More is better of one row, less of another.
        name = row.what.replace('"', "'") + (f", {row.target}" if target != "NaN" else "")
        lines.append(f'{len(compared) - place} {ratio.median} {ratio.least} {ratio.most} {target} "{name}"')
    return "\n".join(lines) + "\n"


def plot_script(data, svg, rows, title):
    count = len([row for row in rows if row.ratio])
    return f"""set terminal svg size 900,{110 + 34 * count} font 'sans-serif,12' background rgb 'white'
set output '{svg}'
set title "{title}" noenhanced
set logscale x
set xlabel 'ours ÷ theirs'
set yrange [0.4:{count + 0.6}]
set ytics noenhanced
set grid x
set key below
set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb '#888888'
plot '{data}' using 2:1:3:4:ytic(6) with xerrorbars pt 7 ps 0.8 lc rgb '#1f5fa8' title 'median, least and most', \\
     '' using 5:1 with points pt 2 ps 1 lc rgb '#c03020' title 'target'
"""
