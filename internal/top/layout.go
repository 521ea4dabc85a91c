package top

import (
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/elrar/state-gateway/client"
)

// gap is between two columns.
const gap = 2

// place is where a column stands.
type place struct {
	column int
	width  int
}

// firstExtra is the rank from which on columns are shown only where those before have all the room that they want.
const firstExtra = 8

// layout chooses the columns that fit into a width, as many as there is room for in the order of their ranks, and gives
// them what is left over. A column that says nothing of any engine is left out, and the first one never.
func layout(engines []*client.Engine, now time.Time, width int) []place {
	byRank := make([]int, len(columns))
	for i := range columns {
		byRank[columns[i].rank] = i
	}
	wants, widths := make([]int, len(columns)), make([]int, len(columns)) // 0: left out
	left, owed := width+gap, 0
	for _, i := range byRank {
		c := &columns[i]
		if wants[i] = c.want(engines, now); wants[i] == 0 {
			continue
		}
		least, room := min(c.min, wants[i]), left
		if c.rank >= firstExtra {
			room -= owed
		}
		if i == 0 {
			least = min(least, width)
		} else if room < least+gap {
			break // and none of a higher rank, which would come and go with the widths of others
		}
		widths[i] = least
		left -= least + gap
		owed += wants[i] - least
	}
	for _, i := range byRank {
		if widths[i] > 0 {
			more := max(0, min(wants[i]-widths[i], left))
			widths[i] += more
			left -= more
		}
	}
	var places []place
	for i, w := range widths {
		if w > 0 {
			places = append(places, place{i, w})
		}
	}
	return places
}

// want returns the width that a column would have if there was room, 0 if it is not worth any.
func (c *column) want(engines []*client.Engine, now time.Time) int {
	if c.min == c.max || c.number != nil { // of one width, or filling what it gets
		return c.max
	}
	most := 0
	for _, e := range engines {
		most = max(most, ansi.StringWidth(c.text(e, now, 0)))
	}
	if most == 0 && c != &columns[0] {
		return 0
	}
	return min(max(most, len(c.title)+1), c.max)
}
