// Package top shows a gateway's engines in a terminal, live, or prints them once. It sees what routers see, through the
// Go client, and asks /stats for what the gateway receives and loses.
//
// The model is a plain value that messages change and that is drawn from nothing else; it belongs to the terminal
// library's goroutine. Goroutines of Run send it what the client and /stats say.
//
// Whatever comes from engines or a gateway is untrusted, and reaches the terminal through plain only.
package top
