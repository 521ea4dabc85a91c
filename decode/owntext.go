package decode

// ownText gathers the text of an object but for the members that are left out. As long as none is, it copies nothing.
type ownText struct {
	text []byte // after end: what was gathered
	copy []byte // what was kept before a member that is left out
	from int    // where in the datagram what is kept now begins, or left
	cut  bool   // a member was left out
}

const left = -1

// begin begins with the object's brace.
func (o *ownText) begin(at int) { o.copy, o.from, o.cut = o.copy[:0], at, false }

// keep says that a member to be kept begins at b[at], after one that was not.
func (o *ownText) keep(at int) { o.from = at }

// leaveOut says that a member to be left out begins at b[at], after one that was not.
func (o *ownText) leaveOut(b []byte, at int) {
	o.copy = append(o.copy, b[o.from:at]...)
	o.from, o.cut = left, true
}

// end says that the object ends before b[at].
func (o *ownText) end(b []byte, at int) {
	if !o.cut {
		o.text = b[o.from:at:at]
		return
	}
	if o.from == left { // the last member was left out: so is the comma before it
		n := len(o.copy)
		for n > 0 && (o.copy[n-1] == ',' || isSpace(o.copy[n-1])) {
			n--
		}
		o.copy, o.from = o.copy[:n], at-1
	}
	o.copy = append(o.copy, b[o.from:at]...)
	o.text = o.copy
}
