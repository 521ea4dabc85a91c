package decode

// For the tests: the two ways to a float by themselves.

func Quotient(n, d uint64) float64 { return quotient(n, d) }

func NearestFloat(text string) (f float64, ok bool) { return nearestFloat([]byte(text)) }
