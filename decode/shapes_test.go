package decode_test

import (
	"math/big"
	"slices"
	"strings"
)

// shape is a datagram to measure, by its name.
type shape struct{ name, payload string }

// shapes returns what engines send, or may send later.
func shapes() []shape {
	shuffled := make([]member, 0, len(usual))
	for _, i := range []int{3, 0, 7, 2, 5, 4, 1, 6} {
		shuffled = append(shuffled, usual[i])
	}
	two := []member{{"version", `"2.1.0"`}, {"gpu_utilization", "0.8125"}}
	ten := slices.Concat(two, []member{{"host", `"node-17"`}, {"gpus", `[0.5, 0.25]`}, {"draining", "false"}, {"lora", `{"loaded": 3, "max": 8}`},
		{"running", "17"}, {"waiting", "4"}, {"preempted_total", "123"}, {"note", "null"}})
	return []shape{
		{"usual", text(usual...)},
		{"compact", spaced(",", ":", usual...)},
		{"other order", text(shuffled...)},
		{"1 more field", plus(two[:1]...)},
		{"2 more fields", plus(two...)},
		{"2 more, first", text(slices.Concat(two, usual)...)},
		{"2 more, within", text(slices.Insert(slices.Clone(usual), 4, two...)...)},
		{"10 more fields", plus(ten...)},
		{"escape", with(member{"engine_id", `"http:\/\/172.17.0.3:8000"`})},
		{"escaped name", renamed("engine_id", `\u0065ngine_id`)},
		{"exponent", with(member{"latency_pred_ms", "3e-05"})},
		{"many digits", with(member{"latency_pred_ms", "21.2531222281025371234567890123"})},
		{"UTF-8", with(member{"engine_id", `"http://引擎-3:8000"`})},
		{"refused", text(usual...) + "x"},
	}
}

// hostileSize is the size of hostile datagrams: the largest that the gateway takes by default.
const hostileSize = 4096

// filled returns head, a unit as often as there is room for in a hostile datagram, with commas between, and tail.
func filled(head, unit, comma, tail string) string {
	n := max(0, (hostileSize-len(head)-len(tail)+len(comma))/(len(unit)+len(comma)))
	return head + strings.TrimSuffix(strings.Repeat(unit+comma, n), comma) + tail
}

// open returns a datagram without its last brace.
func open(datagram string) string { return strings.TrimSuffix(datagram, "}") }

// filledWith returns the datagram with an unknown field at its end, which is an array of as many units as there is room for.
func filledWith(datagram, unit string) string {
	return filled(open(datagram)+`, "":[`, unit, ",", "]}")
}

// filledValue returns the usual datagram with a value of as many units as there is room for.
func filledValue(name, head, unit, tail string) string {
	begin, end, _ := strings.Cut(with(member{name, "#"}), "#")
	return filled(begin+head, unit, "", tail+end)
}

// halfway returns the decimal half way between two floats, (2m+1)·2^(e-1), which can have hundreds of digits; without its
// exponent, and with it.
func halfway(m int64, e int) (digits, whole string) {
	point := new(big.Float).SetPrec(4096).SetInt64(2*m + 1)
	whole = point.SetMantExp(point, e-1).Text('e', 766)
	digits, _, _ = strings.Cut(whole, "e")
	return digits, whole
}

// hostile returns datagrams of 4 KB that are made to cost much.
func hostile() []shape {
	usual := text(usual...)
	members := func(unit string) string { return filled(open(usual)+", ", unit, ",", "}") }
	list := func(unit string) string { return filledWith(usual, unit) }
	letters := func(unit string) string { return filled(open(usual)+`, "":"`, unit, "", `"}`) }
	floats := func(value string) string {
		return with(member{"latency_pred_ms", value}, member{"engine_capacity", value})
	}
	ids := func(unit string, n int) string {
		return with(member{"engine_id", `"` + strings.Repeat(unit, n) + `"`}, member{"scheduling_mode", `"` + strings.Repeat(unit, n/4) + `"`})
	}
	smallest, smallestWhole := halfway(1<<51+1, -1074)
	middle, middleWhole := halfway(1<<52+1, -700)
	_, largeWhole := halfway(1<<52+1, 900)
	everything := with(member{"engine_id", `"` + strings.Repeat(`\u0041`, 256) + `"`}, member{"latency_pred_ms", smallestWhole}, member{"engine_capacity", smallestWhole})
	return []shape{
		{"float of zeros and a 1", filledValue("latency_pred_ms", "0.", "0", "1")},
		{"float of digits", filledValue("latency_pred_ms", "0.", "12345", "")},
		{"float of digits, last", filledValue("engine_capacity", "0.", "12345", "")},
		{"float, large exponent", filledValue("latency_pred_ms", "", "7", "e-4000")},
		{"halfway float and a bit", filledValue("latency_pred_ms", middle, "0", "1"+strings.TrimPrefix(middleWhole, middle))},
		{"halfway floats, subnormal", filledWith(floats(smallestWhole), "[]")},
		{"halfway floats and a bit, subnormal", floats(smallest + strings.Repeat("0", 1100) + "1" + strings.TrimPrefix(smallestWhole, smallest))},
		{"halfway floats, small", filledWith(floats(middleWhole), "[]")},
		{"halfway floats, large", filledWith(floats(largeWhole), "[]")},
		{"halfway floats, 2^53+1", floats("9007199254740993." + strings.Repeat("0", 1800) + "1")},
		{"subnormal floats", filledWith(floats("4.9406564584124654e-324"), "[]")},
		{"integer of digits", filledValue("timestamp_ms", "", "9", "")},
		{"integer cut short", filledValue("timestamp_ms", "", "9", "")[:hostileSize/2]},
		{"unknown integer", filled(open(usual)+`, "":`, "9", "", "}")},
		{"unknown exponent", filled(open(usual)+`, "":1e`, "9", "", "}")},
		{"numbers", list("0")},
		{"negative numbers", list("-1")},
		{"fractions", list("0.5")},
		{"exponents", list("1e1")},
		{"arrays", list("[]")},
		{"objects", list("{}")},
		{"arrays of one", list("[0]")},
		{"objects of one", list(`{"":0}`)},
		{"strings", list(`""`)},
		{"words", list("null")},
		{"all kinds", list(`true,[],0,"",{},null,-1,{"":[]},false,"a"`)},
		{"deep", list(nested(298))},
		{"deep objects", list(strings.Repeat(`{"":`, 298) + "0" + strings.Repeat("}", 298))},
		{"too deep", filled(open(usual)+`, "":`, "[", "", "")},
		{"unknown fields", members(`"":0`)},
		{"unknown fields, named", members(`"a":1`)},
		{"unknown fields, almost known", members(`"engine_ix":1`)},
		{"unknown fields, escaped", members(`"\u0061":0`)},
		{"unknown fields, escaped and almost known", members(`"engine_i\u0061":0`)},
		{"unknown fields, long escaped", members(`"` + strings.Repeat(`\u0065`, 21) + `":0`)},
		{"duplicates", members(`"engine_id":"a"`)},
		{"duplicates, escaped", members(`"engine_i\u0064":"\u0061"`)},
		{"missing fields", filled("{", `"":0`, ",", "}")},
		{"long string", letters("x")},
		{"short escapes", letters(`\n`)},
		{"short escapes and letters", letters(`\na`)},
		{"escapes", letters(`\u0041`)},
		{"surrogates", letters(`\ud83d\ude00`)},
		{"two bytes a character", letters("é")},
		{"two bytes a character and letters", letters("éa")},
		{"three bytes a character", letters("引")},
		{"four bytes a character", letters("😀")},
		{"DEL and letters", letters("\x7fa")},
		{"long escaped id", filledValue("engine_id", `"`, `\u0041`, `"`)},
		{"escaped id and mode", filledWith(ids(`\u0041`, 256), "[]")},
		{"escaped id and mode, short", filledWith(ids(`\/`, 256), "[]")},
		{"white space", filled("{", " \n\t\r", "", usual[1:])},
		{"white space in arrays", list(" 0 ")},
		{"everything", filledWith(everything, "[]")},
		{"zero bytes", strings.Repeat("\x00", hostileSize)},
		{"open objects", filled("", `{"":`, "", "")},
	}
}
