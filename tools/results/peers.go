package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// NullSink is the name of the subject that is the unit of the others.
const NullSink = "null sink"

// Peer is all rounds of one subject under one load.
type Peer struct {
	Subject, Version string
	Load             string // datagrams/s, or max
	CPU              Spread // ns a datagram handled
	XNull            Spread // CPU ÷ the null sink's in the same round
	Rate             Spread // datagrams/s received
	XRate            Spread // Rate ÷ the null sink's in the same round
	Dropped          Spread // by the kernel, %
	Handled          Spread // of those received, %
}

// Peers is one run of bench/peers.
type Peers struct {
	Run, Machine, Kernel, Go, FileSystem string
	Peers                                []*Peer // load by load, each in the order of its first round
}

// peerRecord is what is read of a line that bench/peers writes.
type peerRecord struct {
	Run            string
	Machine        string
	Kernel         string
	Go             string
	FileSystem     string `json:"file_system"`
	Subject        string
	Version        string
	Load           string
	Round          int
	CPUPerDatagram float64 `json:"cpu_ns_per_dgram"`
	Rate           float64 `json:"dgram_per_s"`
	DropPercent    float64 `json:"drop_percent"`
	Handled        float64
}

// ReadPeers reads the last run in the results of bench/peers. Rounds without a null sink are left out.
func ReadPeers(r io.Reader) (*Peers, error) {
	var records []peerRecord
	decoder := json.NewDecoder(r)
	for {
		var record peerRecord
		if err := decoder.Decode(&record); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("measurement %d: %w", len(records)+1, err)
		}
		records = append(records, record)
	}
	if len(records) == 0 {
		return nil, errors.New("no measurements")
	}
	last := records[len(records)-1]
	records = slices.DeleteFunc(records, func(r peerRecord) bool { return r.Run != last.Run })
	type place struct {
		load  string
		round int
	}
	units := map[place]peerRecord{}
	for _, record := range records {
		if record.Subject == NullSink {
			units[place{record.Load, record.Round}] = record
		}
	}
	all := &Peers{Run: last.Run, Machine: last.Machine, Kernel: last.Kernel, Go: last.Go, FileSystem: last.FileSystem}
	for _, record := range records {
		unit, ok := units[place{record.Load, record.Round}]
		if !ok {
			continue
		}
		i := slices.IndexFunc(all.Peers, func(p *Peer) bool { return p.Subject == record.Subject && p.Load == record.Load })
		if i < 0 {
			i = len(all.Peers)
			all.Peers = append(all.Peers, &Peer{Subject: record.Subject, Version: record.Version, Load: record.Load})
		}
		p := all.Peers[i]
		p.CPU = append(p.CPU, record.CPUPerDatagram)
		p.XNull = append(p.XNull, record.CPUPerDatagram/unit.CPUPerDatagram)
		p.Rate = append(p.Rate, record.Rate)
		p.XRate = append(p.XRate, record.Rate/unit.Rate)
		p.Dropped = append(p.Dropped, record.DropPercent)
		p.Handled = append(p.Handled, 100*record.Handled)
	}
	if len(all.Peers) == 0 {
		return nil, errors.New("no round of the last run has a null sink")
	}
	return all, nil
}

// Loads returns the loads in their order.
func (p *Peers) Loads() (loads []string) {
	for _, peer := range p.Peers {
		if !slices.Contains(loads, peer.Load) {
			loads = append(loads, peer.Load)
		}
	}
	return loads
}

// Under returns the peers under a load.
func (p *Peers) Under(load string) (some []*Peer) {
	for _, peer := range p.Peers {
		if peer.Load == load {
			some = append(some, peer)
		}
	}
	return some
}
