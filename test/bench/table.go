package main

import (
	"fmt"
	"slices"
	"strings"
)

const liveHeader = `| work | requests/s without | with | ratio | p50 us without | added | p99 us without | added | server CPU us/request without | added | collector CPU s per million | cores | highest RSS MiB | spans per 2 requests | counted lost |
| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |`

// liveRow is a work's medians. What is added is the median of the differences
// inside each pair: rounds of one pair are neighbours in time. What a peer does not
// tell is "-".
func liveRow(name string, pairs []pair) string {
	mid := func(f func(p pair) float64) float64 {
		var v []float64
		for _, p := range pairs {
			v = append(v, f(p))
		}
		return median(v)
	}
	cpu := func(r round) float64 { return us(r.serverCPU) / r.requests }
	told := func(f func(r round) float64) string {
		if slices.ContainsFunc(pairs, func(p pair) bool { return !p.with.told }) {
			return "-"
		}
		return fmt.Sprintf("%.5f", mid(func(p pair) float64 { return f(p.with) / (2 * p.with.requests) }))
	}
	cells := []string{
		name,
		fmt.Sprintf("%.0f", mid(func(p pair) float64 { return p.without.rate() })),
		fmt.Sprintf("%.0f", mid(func(p pair) float64 { return p.with.rate() })),
		fmt.Sprintf("%.3f", mid(func(p pair) float64 { return p.with.rate() / p.without.rate() })),
		fmt.Sprintf("%.0f", mid(func(p pair) float64 { return us(p.without.p50) })),
		fmt.Sprintf("%+.0f", mid(func(p pair) float64 { return us(p.with.p50) - us(p.without.p50) })),
		fmt.Sprintf("%.0f", mid(func(p pair) float64 { return us(p.without.p99) })),
		fmt.Sprintf("%+.0f", mid(func(p pair) float64 { return us(p.with.p99) - us(p.without.p99) })),
		fmt.Sprintf("%.2f", mid(func(p pair) float64 { return cpu(p.without) })),
		fmt.Sprintf("%+.2f", mid(func(p pair) float64 { return cpu(p.with) - cpu(p.without) })),
		fmt.Sprintf("%.2f", mid(func(p pair) float64 { return p.with.perMillion() })),
		fmt.Sprintf("%.3f", mid(func(p pair) float64 { return p.with.collectorCPU.Seconds() / p.with.wall.Seconds() })),
		fmt.Sprintf("%.0f", mid(func(p pair) float64 { return float64(p.with.rss) / (1 << 20) })),
		told(func(r round) float64 { return r.spans }),
		told(func(r round) float64 { return r.lost }),
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

func us[D ~int64](d D) float64 { return float64(d) / 1e3 }

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	if len(v)%2 == 1 {
		return v[len(v)/2]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}
