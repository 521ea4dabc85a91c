package doctor

func (f *findings) log(facts *Facts) {
	l, g := facts.Log, facts.Gateway
	if g != nil && !g.After.LogEnabled || g == nil && !facts.Settings.EnableLog {
		f.add(Note, "log", "", "the state log is off")
		return
	}
	if g != nil && g.After.LogTrouble != "" {
		f.add(Problem, "log", "the gateway's messages say more; routers get every state all the same", "states are missing from the state log: %s", g.After.LogTrouble)
	}
	if g != nil && facts.elsewhere() || !facts.Settings.EnableLog {
		return // its path is of another place, or not known here
	}
	lines, grew := uint64(0), l.Size[1] != l.Size[0]
	if g != nil {
		lines = g.After.Logged - g.Before.Logged
	}
	const path = "VLLM_STATE_GATEWAY_LOG_FILE"
	switch {
	case l.Mount:
		f.add(Problem, "log", "mount its folder: -v /tmp/elrar:/data", "%s is itself a mount: it cannot be renamed, and rotation does not work", l.Path)
	case g != nil && l.Known && !l.Open:
		f.add(Problem, "log", "set "+path+" here as it is set there; if a rename has just been, look again",
			"the gateway does not have %s open; it writes %s", l.Path, list(l.OpenElse, 4))
	case g != nil && !l.Known && l.Exists && lines > 0 && !grew:
		f.add(Problem, "log", "is "+path+" the same here and there, and its folder the one that is mounted?",
			"the gateway wrote %d lines while %s did not change", lines, l.Path)
	case g == nil && l.Error != "":
		f.add(Problem, "log", "set "+path+" to a place that can be written", "%s: %s", l.Path, l.Error)
	case g == nil && l.Holder != 0:
		f.add(Problem, "log", "stop it, or set "+path+" to another file", "%s is being written by process %d", l.Path, l.Holder)
	case !l.Exists:
		f.add(Note, "log", "", "%s is not there yet", l.Path)
	case g != nil && l.Known:
		f.add(OK, "log", "", "the gateway writes %s: %d lines in the last %s", l.Path, lines, seconds(g.Watched.Seconds()))
	default:
		f.add(OK, "log", "", "%s is there and can be written", l.Path)
	}
	if least := uint64(facts.Settings.LogMinFree); l.Free > 0 && l.Free < least {
		f.add(Problem, "log", "make room, or lower VLLM_STATE_GATEWAY_LOG_MIN_FREE", "%s are free on its disk, and below %s the log stops", bytes(l.Free), bytes(least))
	}
}
