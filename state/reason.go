package state

// Reason says why a datagram was rejected. The zero value, Accepted, means that it was not.
type Reason uint8

// The reasons, in the order in which the first fault counts: of several, the datagram is rejected for the smallest.
const (
	Accepted       Reason = iota
	Empty                 // a datagram of no bytes
	TooLarge              // longer than the largest accepted datagram; never parsed
	JSON                  // not one strictly valid JSON object
	DuplicateField        // one of the eight names twice
	MissingField          // not all of the eight names
	Type                  // a wrong JSON type, or a fraction or exponent in an integer field
	Range                 // a number or a string outside its limits
	EngineLimit           // a new engine when the table is full
	reasonEnd
)

// Reasons is the number of Reason values, Accepted included: the length of an array indexed by Reason.
const Reasons = int(reasonEnd)

var reasonNames = [Reasons]string{"accepted", "empty", "too_large", "json", "duplicate_field", "missing_field", "type", "range", "engine_limit"}

// String returns the reason's name in counters and metrics.
func (r Reason) String() string { return reasonNames[r] }
