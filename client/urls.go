package client

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// example is what an error shows as right.
const example = "http://127.0.0.1:8080"

// ParseURLs reads the URLs of gateways as Watch takes them, with commas between; what is empty between two commas does not
// count, and neither does a URL that was there before. There is one at least if there is no error. The error, of one line,
// has neither a password nor a query in it.
func ParseURLs(urls string) ([]*url.URL, error) {
	var all []*url.URL
	for text := range strings.SplitSeq(urls, ",") {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		u, err := parseURL(text)
		if err != nil && (strings.Contains(urls, "@") || strings.Contains(urls, "%40")) { // anywhere: a password may have commas in it
			err = errors.New("what has an @ in it, and so perhaps a password, is not shown: a gateway's URL is one such as " + example + ", without a user")
		}
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(other *url.URL) bool { return other.String() == u.String() }) {
			all = append(all, u)
		}
	}
	if all == nil {
		return nil, errors.New("there is no URL: a gateway's is one such as " + example)
	}
	return all, nil
}

func parseURL(text string) (*url.URL, error) {
	shown := text
	if end := strings.IndexAny(text, "?#"); end >= 0 {
		shown = text[:end+1] + "…"
	}
	u, err := url.Parse(text)
	switch {
	case hostOnly(text):
		return nil, fmt.Errorf("%q is no URL; did you mean http://%s?", shown, shown)
	case err != nil:
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err // without the text, which is in ours
		}
		return nil, fmt.Errorf("%q is no gateway's URL: %w", shown, err)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, fmt.Errorf("%q is no gateway's URL: it is one such as "+example+", without user, query and fragment", shown)
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || port == 0) {
		return nil, fmt.Errorf("%q is no gateway's URL: its port is not from 1 to 65535", shown)
	}
	u.ForceQuery = false // of a ? with nothing behind it
	return u, nil
}

// hostOnly reports whether text would be the URL of a gateway if http:// were before it.
func hostOnly(text string) bool {
	if strings.Contains(text, "//") || strings.HasPrefix(text, "http:") || strings.HasPrefix(text, "https:") {
		return false
	}
	_, err := parseURL("http://" + text)
	return err == nil
}
