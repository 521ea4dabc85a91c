package api

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// idle keeps connections that only wait for their next request from keeping others out: when more than most connections
// are open, each new one closes the one that has been idle for longest. A client that finds its connection closed
// opens another.
type idle struct {
	most int

	mu   sync.Mutex
	open int
	all  *list.List // of net.Conn, the one idle for longest first
	at   map[net.Conn]*list.Element
}

func newIdle(most int) *idle {
	return &idle{most: most, all: list.New(), at: map[net.Conn]*list.Element{}}
}

// connState is http.Server's hook.
func (i *idle) connState(c net.Conn, to http.ConnState) {
	if longest := i.note(c, to); longest != nil {
		_ = longest.Close()
	}
}

// note follows the connections, and returns the one that is to be closed, if any.
func (i *idle) note(c net.Conn, to http.ConnState) (longest net.Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if e := i.at[c]; e != nil {
		i.all.Remove(e)
		delete(i.at, c)
	}
	switch to {
	case http.StateIdle:
		i.at[c] = i.all.PushBack(c)
	case http.StateClosed, http.StateHijacked:
		i.open--
	case http.StateNew:
		i.open++
		if front := i.all.Front(); i.open > i.most && front != nil {
			longest = i.all.Remove(front).(net.Conn)
			delete(i.at, longest)
		}
	}
	return longest
}
