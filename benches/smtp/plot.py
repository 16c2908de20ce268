"""Bars: how much of the straight run each server delivers, the median of its rounds, with their spread."""

import statistics

COLOURS = {"edictd": "#2f6f4f", "edictd pass-through": "#7fb798"}
OTHER = "#9a9a9a"
PANELS = {
    "kept": "50 sessions, many messages a connection",
    "reconnect": "50 sessions, a connection a message",
    "many": "500 sessions, many messages a connection",
}
WIDTH, LEFT, RIGHT, STEP = 800, 230, 150, 22


def bars(rounds):
    out, y = [], 30
    most = max(max(rounds.values(key, "of_straight"), default=0) for key in rounds.runs if key[0] in PANELS)
    scale = (WIDTH - LEFT - RIGHT) / max(most, 0.1)
    for mode, title in PANELS.items():
        keys = [key for key in rounds.runs if key[0] == mode and key[1] != "straight"]
        if not keys:
            continue
        keys.sort(key=lambda key: -statistics.median(rounds.values(key, "of_straight")))
        out.append(f'<text x="10" y="{y + 20}" font-weight="bold">{title}</text>')
        y += 30
        for key in keys:
            out += bar(key, rounds.values(key, "of_straight"), y, scale)
            y += STEP
        y += 8
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 10}" font-family="sans-serif" font-size="12">',
            f'<rect width="{WIDTH}" height="{y + 10}" fill="#ffffff"/>',
            '<text x="10" y="22" font-size="15">Delivered, as a share of smtp-source straight into smtp-sink '
            '(4 KiB; median, spread, rounds)</text>']
    return "\n".join([*head, *out, "</svg>"]) + "\n"


def bar(key, values, y, scale):
    _, server, name = key
    middle, low, high = statistics.median(values), min(values), max(values)
    label = server + ("" if name == "bare" else f", {name}")
    yield f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{label}</text>'
    yield (f'<rect x="{LEFT}" y="{y + 2}" width="{max(1, middle * scale):.1f}" height="15" '
           f'fill="{COLOURS.get(server, OTHER)}"/>')
    if high > low:
        yield (f'<path d="M{LEFT + low * scale:.1f} {y + 9.5}H{LEFT + high * scale:.1f}" stroke="#222222" '
               'stroke-width="1.5"/>')
    yield f'<text x="{LEFT + high * scale + 6:.1f}" y="{y + 13}">{middle:.3f} ({len(values)})</text>'
