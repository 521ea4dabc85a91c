package replay

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// fleet is a capture of several engines and of something that is no state.
func fleet(engines, rounds int) (capture []Datagram) {
	for i := range rounds {
		for k := range engines {
			capture = append(capture, stateAt(fmt.Sprint("engine ", k), time.Duration(i*engines+k)*time.Millisecond, 0))
		}
		capture = append(capture, Datagram{Time: epoch.Add(time.Duration((i+1)*engines) * time.Millisecond), Payload: fmt.Append(nil, i)})
	}
	return capture
}

func TestDamage(t *testing.T) {
	capture := fleet(3, 1000)
	damaged := func(capture []Datagram, d Damage) ([]Datagram, *Degraded) {
		n := Degrade(&memory{datagrams: capture}, d)
		return collect(t, n), n
	}
	bad := Damage{Seed: 7, Drop: 0.2, Duplicate: 0.1, Reorder: 0.3}
	all, n := damaged(capture, bad)
	dropped, duplicated, reordered := n.Counts()
	if len(all) != len(capture)-int(dropped)+int(duplicated) || dropped < 700 || dropped > 900 || duplicated < 250 || duplicated > 400 || reordered < 900 || reordered > 1200 {
		t.Errorf("%d of %d: %d dropped, %d duplicated, %d reordered", len(all), len(capture), dropped, duplicated, reordered)
	}
	if !slices.IsSortedFunc(all, func(a, b Datagram) int { return a.Time.Compare(b.Time) }) {
		t.Error("time goes back")
	}
	again, _ := damaged(capture, bad)
	equal(t, "the same seed", payloads(again), payloads(all))
	bad.Seed++
	other, _ := damaged(capture, bad)
	if slices.Equal(payloads(other), payloads(all)) {
		t.Error("another seed does the same")
	}
	bad.Seed--

	// What befalls an engine does not depend on the others.
	var of Streams
	stream := func(all []Datagram) (texts []string) {
		for _, d := range all {
			if of.Of(d) == of.Of(capture[1]) {
				texts = append(texts, string(d.Payload))
			}
		}
		return texts
	}
	var alone []Datagram
	for _, d := range capture {
		if of.Of(d) == of.Of(capture[1]) {
			alone = append(alone, d)
		}
	}
	single, _ := damaged(alone, bad)
	equal(t, "one engine alone", stream(single), stream(all))

	good, n := damaged(capture, Damage{Seed: 7})
	equal(t, "no damage", payloads(good), payloads(capture))
	equal(t, "times without damage", offsets(good), offsets(capture))
	if a, b, c := n.Counts(); a+b+c != 0 {
		t.Errorf("%d dropped, %d duplicated, %d reordered", a, b, c)
	}
}

// What was held back when the capture ended comes, at its end and also where it breaks off.
func TestDamageLosesNothingAtTheEnd(t *testing.T) {
	broken := errors.New("broken")
	capture := fleet(20, 1)
	n := Degrade(&memory{datagrams: capture, err: broken}, Damage{Reorder: 1})
	var texts []string
	for {
		d, err := n.Next()
		if err != nil {
			if err != broken {
				t.Errorf("it ends with %v", err)
			}
			break
		}
		texts = append(texts, string(d.Payload))
	}
	want := payloads(capture)
	slices.Sort(texts)
	slices.Sort(want)
	equal(t, "all of them", texts, want)
}
