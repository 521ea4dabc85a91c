package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/elrar/state-gateway/internal/config"
)

type healthcheckCommand struct {
	config.HTTPFlag
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer."`
}

// Validate refuses what kong, which calls it, lets through.
func (c *healthcheckCommand) Validate() error {
	if c.Timeout <= 0 {
		return errors.New("--timeout must be more than 0")
	}
	return nil
}

// Run fails unless the gateway at the health address, or if it has none at the HTTP address, says that it is ready.
func (c *healthcheckCommand) Run() error {
	settings, _, err := config.Flags{HTTPFlag: c.HTTPFlag}.Resolve()
	if err != nil {
		return err
	}
	client := http.Client{
		Timeout:       c.Timeout,
		Transport:     &http.Transport{}, // no proxy: the answer must be this address's own
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ready := url.URL{Scheme: "http", Host: reachable(cmp.Or(settings.HealthAddress, settings.HTTPAddress)), Path: "/readyz"}
	response, err := client.Get(ready.String())
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", reason(response))
	}
	return nil
}

// reachable returns the address to ask for a gateway that listens at address: "every interface" is no destination.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip == netip.IPv4Unspecified() {
		host = "127.0.0.1"
	} else if err == nil && ip == netip.IPv6Unspecified() {
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// reason returns, as one line, why the gateway is not ready: the detail of its problem+json if there is one.
func reason(response *http.Response) string {
	const most = 64 << 10 // bytes; a problem of ours has a few hundred
	var problem struct {
		Detail string `json:"detail"`
	}
	err := json.NewDecoder(io.LimitReader(response.Body, most)).Decode(&problem)
	if err != nil || problem.Detail == "" {
		return oneLine(response.Status)
	}
	return oneLine(strings.TrimPrefix(problem.Detail, "not ready: ")) // which the caller says
}
