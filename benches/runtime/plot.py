"""Draws measured figures as one SVG, on logarithmic scales. Standard library only; text takes the page's colour."""

import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, ROW, BAR = 860, 220, 110, 30, 16
OURS, THEIRS, FLOOR = "#2f7de1", "#8a94a6", "#c9ced8"


def chart(title, rows, unit, top):
    """One chart as SVG, and where it ends. `rows` are (label, value, colour)."""
    values = [value for _, value, _ in rows]
    low, high = 10 ** math.floor(math.log10(min(values)) - 0.1), max(values) * 1.2
    bottom = top + 34 + ROW * len(rows)

    def x(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(value / low) / math.log10(high / low)

    parts = [f'<text x="{LEFT}" y="{top + 14}" font-weight="600">{escape(title)}</text>']
    for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        at = f"{x(10.0**power):.1f}"
        parts.append(f'<line x1="{at}" x2="{at}" y1="{top + 26}" y2="{bottom}" stroke="{FLOOR}" stroke-width="0.5"/>')
        parts.append(f'<text x="{at}" y="{bottom + 14}" text-anchor="middle" class="small">{10.0**power:g}</text>')
    for index, (label, value, colour) in enumerate(rows):
        y = top + 30 + ROW * index
        parts.append(f'<text x="{LEFT - 10}" y="{y + 13}" text-anchor="end">{escape(label)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y}" width="{max(x(value) - LEFT, 1):.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
        parts.append(f'<text x="{x(value) + 6:.1f}" y="{y + 13}" class="small">{value:,.3g} {unit}</text>')
    return parts, bottom + 30


def draw(charts, note):
    """`charts` are (title, rows, unit); the text of the file."""
    parts, top = [], 10
    for title, rows, unit in charts:
        drawn, top = chart(title, rows, unit, top)
        parts += drawn
    parts.append(f'<text x="{LEFT}" y="{top + 4}" class="small">{escape(note)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 20}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="currentColor">\n'
        "<style>svg { color: #1c2430 } .small { font-size: 11px; opacity: 0.75 } "
        "@media (prefers-color-scheme: dark) { svg { color: #e6e9ef } }</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )
