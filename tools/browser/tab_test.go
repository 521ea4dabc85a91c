package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long anything may take on a machine that is busy with other things.
const patience = 60 * time.Second

// tab is one page in a browser of its own.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // console messages, exceptions, violations of the policy, requests to elsewhere
	lost     bool     // the gateway, or what is asked for, is meant to be away: requests that fail are no problem
}

// look is how a tab looks at the page.
type look struct {
	width, height int64 // 1440 × 900 if 0
	dark          bool
	language      string // "en-GB" if ""
	fragment      string // of the address
}

// openTab opens the page, or skips the test for want of a browser. The test fails if the page gives cause for complaint
// by then.
func openTab(t *testing.T, g *gateway, l look) *tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("STATE_REQUIRE_ALL") != "" {
			t.Fatal("chromium is not installed, and this must not be skipped here")
		}
		t.Skip("chromium is not installed")
	}
	if l.width == 0 {
		l.width, l.height = 1440, 900
	}
	if l.language == "" {
		l.language = "en-GB"
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("lang", l.language),
		chromedp.Flag("accept-lang", l.language),
		chromedp.WSURLReadTimeout(patience))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root has none of
	}
	allocator, cancelAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	b := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		cancel()
		cancelAllocator()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, problem := range b.problems {
			t.Error(problem)
		}
	})
	if err := chromedp.Listen(ctx, func(event any) { b.listen(event, g.url()) }); err != nil {
		t.Fatal(err)
	}
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}}})
	b.do(chromedp.EmulateViewport(l.width, l.height), chromedp.Navigate(g.url()+l.fragment))
	return b
}

func (b *tab) listen(event any, own string) {
	problem := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		problem = fmt.Sprintf("console: %s %v", e.Type, e.Args)
	case *runtime.EventExceptionThrown:
		problem = fmt.Sprintf("exception: %+v", e.ExceptionDetails)
	case *log.EventEntryAdded:
		problem = fmt.Sprintf("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
		b.mu.Lock()
		away := b.lost
		b.mu.Unlock()
		if away && e.Entry.Source == log.EntrySourceNetwork {
			return
		}
	case *network.EventRequestWillBeSent:
		if strings.HasPrefix(e.Request.URL, own) || strings.HasPrefix(e.Request.URL, "data:") {
			return
		}
		problem = "request to elsewhere: " + e.Request.URL
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.problems, problem) {
		b.problems = append(b.problems, problem)
	}
}

// away says whether the gateway is meant to be away.
func (b *tab) away(lost bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = lost
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		b.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

// eval returns what an expression, or the promise that it is, comes to.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return result
}

// wait waits until an expression is true.
func (b *tab) wait(expression string) {
	b.t.Helper()
	for end := time.Now().Add(patience); !eval[bool](b, "!!("+expression+")"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("not within %v: %s\n%s", patience, expression, eval[string](b, "document.body.innerText"))
		}
	}
}

// click clicks what a selector finds, with the mouse.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// keys presses keys one after the other, wherever the focus is.
func (b *tab) keys(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.do(chromedp.KeyEvent(key))
	}
}
