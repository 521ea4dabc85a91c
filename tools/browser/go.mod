// The tests of the page at GET / in a real browser, apart so that the gateway's own module needs no browser's protocol.
module github.com/elrar/state-gateway/tools/browser

go 1.26.0

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
)

require github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
