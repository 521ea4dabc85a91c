package state

import "strings"

// thirdOlder recognises a sender whose clock was set back. It reports whether in, which is older than the newest applied
// state, is the third of a run of older states, each newer than the one before it, with nothing applied in between. Late
// copies do not look like that; two late datagrams can. Duplicates of states of the run neither count nor break it;
// anything else that is not newer than the last of them begins a new one.
func (m *Memory) thirdOlder(in *State, heartbeat bool) bool {
	for i := range m.run {
		if in.TimestampMs == m.older[i].TimestampMs && (heartbeat || in.sameContent(&m.older[i])) {
			return false
		}
	}
	if m.run > 0 && in.TimestampMs <= m.older[m.run-1].TimestampMs {
		m.run = 0
	}
	if int(m.run) == len(m.older) {
		return true
	}
	seen := &m.older[m.run]
	mode := seen.SchedulingMode // usually the same
	if mode != in.SchedulingMode {
		mode = strings.Clone(in.SchedulingMode) // which is the caller's memory, as the engine_id is
	}
	*seen = *in
	seen.EngineID, seen.SchedulingMode = "", mode
	m.run++
	return false
}
