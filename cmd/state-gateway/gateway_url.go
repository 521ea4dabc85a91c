package main

import (
	"errors"
	"net/url"

	"github.com/elrar/state-gateway/client"
)

// gatewayURL is a flag's value: the URL of one gateway. A user may be in it, whom a proxy before the gateway asks for.
type gatewayURL struct{ url.URL }

// UnmarshalText takes what the client takes, and a user. The error has no password in it.
func (g *gatewayURL) UnmarshalText(text []byte) error {
	without := string(text)
	var user *url.Userinfo
	if u, err := url.Parse(without); err == nil && u.User != nil {
		user, u.User = u.User, nil
		without = u.String()
	}
	all, err := client.ParseURLs(without)
	switch {
	case err != nil:
		return err
	case len(all) > 1:
		return errors.New("several URLs, and one is asked for")
	}
	g.URL = *all[0]
	g.User = user
	return nil
}
