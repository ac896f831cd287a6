package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// line is what a variant did in one cell.
type line struct {
	variant, kind string
	perSec        float64 // median
	ratio         float64 // median of the ratios to the limit of the same round
	low, high     float64 // the least and the greatest of them
	p99           time.Duration
}

// summarise makes one line for each variant of a cell, and one for the limit:
// in each round the best of the raw logs.
func summarise(cell []sample) []line {
	limit := map[int]float64{}
	for _, s := range cell {
		if s.Kind == "limit" {
			limit[s.Round] = max(limit[s.Round], s.PerSec)
		}
	}
	var names []string
	by := map[string][]sample{}
	for _, s := range cell {
		if by[s.Variant] == nil {
			names = append(names, s.Variant)
		}
		by[s.Variant] = append(by[s.Variant], s)
	}
	var out []line
	for _, name := range names {
		var rates, ratios []float64
		var p99 []time.Duration
		for _, s := range by[name] {
			rates = append(rates, s.PerSec)
			p99 = append(p99, s.P99)
			if limit[s.Round] > 0 {
				ratios = append(ratios, s.PerSec/limit[s.Round])
			}
		}
		l := line{variant: name, kind: by[name][0].Kind, perSec: median(rates), ratio: median(ratios), p99: median(p99)}
		if len(ratios) > 0 {
			l.low, l.high = slices.Min(ratios), slices.Max(ratios)
		}
		out = append(out, l)
	}
	return out
}

func median[T int | float64 | time.Duration](v []T) T {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

func printCell(cell []sample) {
	if len(cell) == 0 {
		return
	}
	fmt.Println(cell[0].Cell)
	for _, l := range summarise(cell) {
		fmt.Printf("  %-44s %10.0f /s  ratio %.2f (%.2f to %.2f)  p99 %v\n", l.variant, l.perSec, l.ratio, l.low, l.high, l.p99.Round(time.Microsecond))
	}
}

// cellsOf splits samples by cell, in the order of size and savers.
func cellsOf(all []sample) [][]sample {
	slices.SortStableFunc(all, func(a, b sample) int {
		if a.Size != b.Size {
			return a.Size - b.Size
		}
		return a.Savers - b.Savers
	})
	var cells [][]sample
	for i, s := range all {
		if i == 0 || s.Cell != all[i-1].Cell {
			cells = append(cells, nil)
		}
		cells[len(cells)-1] = append(cells[len(cells)-1], s)
	}
	return cells
}

func writeReport(all []sample) error {
	cells := cellsOf(all)
	if err := os.WriteFile("results.md", []byte(markdown(cells)), 0o644); err != nil {
		return err
	}
	return os.WriteFile("results.svg", []byte(picture(cells)), 0o644)
}

// markdown is a table of medians, with the ratio to the raw limit of the same
// round in brackets.
func markdown(cells [][]sample) string {
	var b strings.Builder
	b.WriteString("Durable saves a second: median over the rounds, and in brackets the median of the ratios to the raw limit of the same round.\n\n|")
	var names []string
	for _, cell := range cells {
		for _, l := range summarise(cell) {
			if !slices.Contains(names, l.variant) {
				names = append(names, l.variant)
			}
		}
	}
	b.WriteString(" size × savers |")
	for _, n := range names {
		fmt.Fprintf(&b, " %s |", n)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(names)) + "\n")
	for _, cell := range cells {
		fmt.Fprintf(&b, "| %s |", cell[0].Cell)
		lines := summarise(cell)
		for _, n := range names {
			i := slices.IndexFunc(lines, func(l line) bool { return l.variant == n })
			if i < 0 {
				b.WriteString(" |")
				continue
			}
			fmt.Fprintf(&b, " %s (%.2f) |", short(lines[i].perSec), lines[i].ratio)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.0fk", v/1e3)
	case v >= 1e3:
		return fmt.Sprintf("%.1fk", v/1e3)
	}
	return fmt.Sprintf("%.0f", v)
}

// picture draws a group of bars for each cell, on a logarithmic scale.
func picture(cells [][]sample) string {
	const barHeight, gap, left, width = 13, 26, 250, 560
	colours := map[string]string{"limit": "#b9b9b9", "ours": "#2457a7", "peer": "#d08a2e", "undurable": "#c9473d"}
	var b strings.Builder
	y := 50
	scale := func(v float64) float64 { return width * (math.Log10(max(v, 100)) - 2) / 4.5 }
	for _, cell := range cells {
		fmt.Fprintf(&b, `<text x="8" y="%d" font-weight="bold">%s</text>`+"\n", y, cell[0].Cell)
		y += 6
		for _, l := range summarise(cell) {
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.0f" height="%d" fill="%s"/><text x="%.0f" y="%d">%s/s</text>`+"\n",
				left-6, y+11, l.variant, left, y+1, scale(l.perSec), barHeight-2, colours[l.kind], left+scale(l.perSec)+5, y+11, short(l.perSec))
			y += barHeight
		}
		y += gap
	}
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`, left+width+90, y) +
		`<rect width="100%" height="100%" fill="white"/><text x="8" y="22" font-size="15">Durable saves a second, logarithmic (red: not durable)</text>` + "\n"
	return head + b.String() + "</svg>\n"
}
