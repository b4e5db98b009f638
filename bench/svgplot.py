"""Line plots as SVG text: axes, grid, markers, a legend. Standard library only.

A plot is one call; what it draws is readable without colour (each series has its own marker) and on
white or dark pages (it brings its own background).
"""
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 46, 60  # margins; the legend is in the right one
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9", "#8a6d00"]
MARKERS = ["circle", "square", "triangle", "diamond"]


def _text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def _marker(index, x, y, colour):
    shape, r = MARKERS[index % len(MARKERS)], 4.5
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="{colour}"/>'
    if shape == "square":
        return f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r}" height="{2 * r}" fill="{colour}"/>'
    corners = {"triangle": [(0, -1.2), (1.2, 1), (-1.2, 1)],
               "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)]}[shape]
    points = " ".join(f"{x + r * dx:.1f},{y + r * dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" fill="{colour}"/>'


def _linear_ticks(low, high):
    """Round numbers that cover [low, high], four to eight of them."""
    if high <= low:
        high = low + 1
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (step * m) <= 7)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _log_ticks(low, high):
    """1, 2, 5, 10, 20, ... that cover [low, high]."""
    ticks = [m * 10.0 ** e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
             for m in (1, 2, 5)]
    first = max(i for i, t in enumerate(ticks) if t <= low * (1 + 1e-9))
    last = min((i for i, t in enumerate(ticks) if t >= high * (1 - 1e-9)), default=len(ticks) - 1)
    return ticks[first:last + 1]


def line_plot(title, x_label, y_label, series, x_ticks=None, y_log=False, y_limits=None):
    """SVG text. series: {name: [(x, y), ...]}; x_ticks: [(x, label), ...]; y_limits: (low, high)."""
    points = [p for line in series.values() for p in line if not y_log or p[1] > 0]
    if not points:
        return ""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    if x_ticks is None:
        x_ticks = [(t, f"{t:g}") for t in _linear_ticks(min(xs), max(xs))]
    low, high = y_limits or (min(ys) if y_log else 0, max(ys))
    y_ticks = _log_ticks(low, high) if y_log else _linear_ticks(low, high)
    x0, x1 = min(xs + [t[0] for t in x_ticks]), max(xs + [t[0] for t in x_ticks])
    scale = math.log10 if y_log else float
    y0, y1 = scale(y_ticks[0]), scale(y_ticks[-1])
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def px(x):
        return LEFT + (x - x0) / ((x1 - x0) or 1) * (right - LEFT)

    def py(y):
        return bottom - (scale(y) - y0) / ((y1 - y0) or 1) * (bottom - TOP)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
           f'height="{HEIGHT}" font-family="sans-serif" font-size="12" fill="#222">',
           f'<title>{escape(title)}</title>',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           _text(LEFT, 24, title, "start", ' font-size="15" font-weight="bold"')]
    for t in y_ticks:
        out.append(f'<line x1="{LEFT}" x2="{right}" y1="{py(t):.1f}" y2="{py(t):.1f}" stroke="#ddd"/>')
        out.append(_text(LEFT - 8, py(t) + 4, f"{t:g}", "end"))
    for x, label in x_ticks:
        out.append(f'<line x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{bottom}" y2="{bottom + 5}" stroke="#222"/>')
        out.append(_text(px(x), bottom + 20, label))
    out.append(f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#222"/>')
    out.append(_text((LEFT + right) / 2, HEIGHT - 16, x_label))
    middle = (TOP + bottom) / 2
    out.append(_text(18, middle, y_label + (" (logarithmic)" if y_log else ""), "middle",
                     f' transform="rotate(-90 18 {middle:.0f})"'))
    for i, (name, line) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        line = sorted(p for p in line if not y_log or p[1] > 0)
        if not line:
            continue
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [_marker(i, px(x), py(y), colour) for x, y in line]
        key = TOP + 12 + 20 * i
        out.append(f'<line x1="{right + 16}" x2="{right + 44}" y1="{key}" y2="{key}" stroke="{colour}" '
                   'stroke-width="2"/>')
        out.append(_marker(i, right + 30, key, colour))
        out.append(_text(right + 50, key + 4, name, "start"))
    return "\n".join(out + ["</svg>", ""])
