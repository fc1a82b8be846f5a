package logging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"go.uber.org/goleak"

	"wxbridge/internal/logging"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink keeps what is written and counts the calls. While gate is set, calls wait for it.
type sink struct {
	mu    sync.Mutex
	text  bytes.Buffer
	calls int
	gate  chan struct{}
	fail  error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail != nil {
		return 0, s.fail
	}
	return s.text.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *sink) written() (calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func newLogger(t testing.TB, out io.Writer) (*slog.Logger, *logging.Writer) {
	w := logging.NewWriter(out)
	t.Cleanup(w.Close)
	return slog.New(logging.NewHandler(w, slog.LevelInfo)), w
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// The standard library's own suite for handlers.
func TestHandlerDoesWhatSlogAsksOfHandlers(t *testing.T) {
	var out bytes.Buffer
	var w *logging.Writer
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		out.Reset()
		w = logging.NewWriter(&out)
		t.Cleanup(w.Close)
		return logging.NewHandler(w, slog.LevelInfo)
	}, func(t *testing.T) map[string]any {
		w.Flush()
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%q: %v", &out, err)
		}
		return line
	})
}

type panics struct{}

func (*panics) MarshalJSON() ([]byte, error) { panic("marshal") }

// Every kind of value reads back as what slog's own JSON handler writes.
func TestValuesReadBackAsThoseOfSlog(t *testing.T) {
	at := time.Date(2026, 11, 2, 18, 0, 0, 123456789, time.FixedZone("CST", 8*3600))
	attrs := []slog.Attr{
		slog.String("text", "plain"), slog.String("odd", "a\"b\\c\n\r\t\x00é中文😀\u202e\x1b[31m"), slog.String("broken", "a\xffb"),
		slog.Int("int", -5), slog.Uint64("uint", math.MaxUint64), slog.Bool("bool", true), slog.Float64("float", 1.5),
		slog.Duration("duration", 3*time.Second), slog.Any("error", errors.New("it \"broke\"")), slog.Any("list", []string{"a", "<b>"}),
		slog.Any("map", map[string]any{"k": 1}), slog.Any("nil", nil), slog.Group("group", slog.Int("a", 1), slog.Group("inner", slog.String("b", "c"))),
		slog.Group("", slog.Int("inline", 1)), slog.Group("empty"), slog.Any("json", json.RawMessage("{\"rtl\":\"\u202e\"}")),
	}
	var ours, theirs bytes.Buffer
	logger, w := newLogger(t, &ours)
	logger.LogAttrs(t.Context(), slog.LevelInfo, "msg", attrs...)
	w.Flush()
	slog.New(slog.NewJSONHandler(&theirs, nil)).LogAttrs(t.Context(), slog.LevelInfo, "msg", attrs...)
	read := func(text []byte) string {
		var line map[string]any
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		delete(line, "time")
		return fmt.Sprint(line)
	}
	if got, want := read(ours.Bytes()), read(theirs.Bytes()); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}

	ours.Reset()
	var none *panics
	record := slog.NewRecord(at, slog.LevelInfo, "m", 0)
	record.AddAttrs(slog.Time("at", at), slog.Float64("nan", math.NaN()), slog.Any("channel", make(chan int)), slog.Any("panics", none), slog.Any("panics", &panics{}))
	if err := logger.Handler().Handle(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	w.Flush()
	if got := ours.String(); !json.Valid(ours.Bytes()) || !strings.HasPrefix(got, `{"time":"2026-11-02T10:00:00.123456Z","level":"INFO","msg":"m","at":"2026-11-02T10:00:00.123456789Z","nan":"NaN"`) {
		t.Errorf("%s", got)
	}
}

// Times are those of the records, whatever second came before.
func TestTimesAreRFC3339InUTC(t *testing.T) {
	var out bytes.Buffer
	logger, w := newLogger(t, &out)
	at := time.Date(2026, 12, 31, 23, 59, 59, 999_999_999, time.FixedZone("", -5*3600))
	var want []time.Time
	for _, step := range []time.Duration{0, time.Nanosecond, time.Microsecond, time.Second, -time.Second, 24 * time.Hour, -1000 * 24 * time.Hour, 7 * time.Millisecond} {
		at = at.Add(step)
		want = append(want, at.Truncate(time.Microsecond).UTC())
		if err := logger.Handler().Handle(t.Context(), slog.NewRecord(at, slog.LevelInfo, "m", 0)); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var read struct{ Time string }
		if err := json.Unmarshal([]byte(line), &read); err != nil {
			t.Fatal(err)
		}
		if got, err := time.Parse(time.RFC3339, read.Time); err != nil || !got.Equal(want[i]) || !strings.HasSuffix(read.Time, "Z") {
			t.Errorf("%s (%v), want %v", read.Time, err, want[i])
		}
	}
}

func TestLOG02_NoTextStartsALineOrActsOnATerminal(t *testing.T) {
	for _, text := range []string{"a\r\nb", "\x1b[31m", "\u009b31m", "\u2028", "\u2029", "\u202e", "\u2066", "\ufeff", "\x7f", "\U000e0001", `","level":"fatal`} {
		var out bytes.Buffer
		logger, w := newLogger(t, &out)
		logger.Info(text, text, text, "any", []string{text}, "error", errors.New(text))
		w.Flush()
		line := strings.TrimSuffix(out.String(), "\n")
		for _, r := range line {
			if r != ' ' && (r < ' ' || r >= 0x7f) {
				t.Errorf("%q: %U is in the line as it is: %q", text, r, line)
			}
		}
		var read map[string]any
		if err := json.Unmarshal([]byte(line), &read); err != nil || read["msg"] != text || read[text] != text || read["level"] != "INFO" {
			t.Errorf("%q reads back as %v (%v)", text, read, err)
		}
	}
}

func TestALineOfTheLogIsReadableWhereItCanBe(t *testing.T) {
	var out bytes.Buffer
	logger, w := newLogger(t, &out)
	logger.Info("fix", "where", "公众平台 → 设置与开发 <b>")
	w.Flush()
	if !strings.Contains(out.String(), `"where":"公众平台 → 设置与开发 <b>"`) {
		t.Errorf("%s", out.String())
	}
}

func TestWriter_ManyLinesAreFewWrites(t *testing.T) {
	out := &sink{}
	logger, w := newLogger(t, out)
	const lines = 20_000
	for i := range lines {
		logger.Info("line", "i", i)
	}
	w.Close()
	if got := strings.Count(out.String(), "\n"); got != lines {
		t.Errorf("%d lines, want %d", got, lines)
	}
	if calls := out.written(); calls > lines/100 {
		t.Errorf("%d writes of %d lines", calls, lines)
	}
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if !strings.HasSuffix(line, fmt.Sprintf(`"i":%d}`, i)) {
			t.Fatalf("line %d is %s", i, line)
		}
	}
}

// Nothing else is logged and nothing is closed, and yet the lines come out.
func TestWriter_LinesDoNotWaitForCompany(t *testing.T) {
	out := &sink{}
	logger, _ := newLogger(t, out)
	for _, text := range []string{"first", "second", "third"} {
		logger.Info(text)
		waitFor(t, text, func() bool { return strings.Contains(out.String(), text) })
	}
}

func TestWriter_WarningsAreWrittenBeforeTheCallReturns(t *testing.T) {
	out := &sink{}
	logger, w := newLogger(t, out)
	for range 100 {
		logger.Info("before")
		logger.Warn("urgent")
		if text := out.String(); !strings.HasSuffix(text, "\n") || strings.Count(text, "urgent") != strings.Count(text, "before") || !strings.Contains(text, "urgent") {
			t.Fatalf("%q", text)
		}
		out.mu.Lock()
		out.text.Reset()
		out.mu.Unlock()
	}
	fmt.Fprint(w, "a plain message\n")
	if !strings.HasSuffix(out.String(), "a plain message\n") {
		t.Errorf("%q", out.String())
	}
}

// A log that cannot be written away makes callers wait; it neither grows nor loses a line.
func TestWriter_AFullBufferWaitsAndDropsNothing(t *testing.T) {
	out := &sink{gate: make(chan struct{})}
	logger, w := newLogger(t, out)
	const writers, each = 8, 2000
	var group sync.WaitGroup
	done := make(chan struct{})
	for i := range writers {
		group.Go(func() {
			for j := range each {
				logger.Info("line", "writer", i, "j", j, "padding", strings.Repeat("x", 100))
			}
		})
	}
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		t.Error("nobody waited although nothing could be written")
	case <-time.After(50 * time.Millisecond):
	}
	close(out.gate)
	<-done
	w.Close()
	if got := strings.Count(out.String(), "\n"); got != writers*each {
		t.Errorf("%d lines, want %d", got, writers*each)
	}
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Fatalf("torn: %q", line)
		}
	}
}

func TestWriter_SurvivesWhatItCannotWrite(t *testing.T) {
	out := &sink{fail: errors.New("no space left")}
	logger, w := newLogger(t, out)
	logger.Warn("lost")
	out.mu.Lock()
	out.fail = nil
	out.mu.Unlock()
	logger.Warn("kept")
	w.Close()
	w.Close()
	logger.Info("after the end")
	if text := out.String(); strings.Contains(text, "lost") || !strings.Contains(text, "kept") || !strings.Contains(text, "after the end") {
		t.Errorf("%q", text)
	}
}

func TestHandler_LeavesOutLowerLevels(t *testing.T) {
	out := &sink{}
	logger, w := newLogger(t, out)
	logger.Debug("no")
	w.Flush()
	if logger.Enabled(context.Background(), slog.LevelDebug) || out.String() != "" {
		t.Errorf("%q", out.String())
	}
}

// BenchmarkRequestLine is the line of one request, beside slog's own handler.
func BenchmarkRequestLine(b *testing.B) {
	w := logging.NewWriter(io.Discard)
	defer w.Close()
	for name, handler := range map[string]slog.Handler{"ours": logging.NewHandler(w, slog.LevelInfo), "slog": slog.NewJSONHandler(io.Discard, nil)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				record := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0)
				record.AddAttrs(slog.String("request_id", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), slog.String("method", "GET"), slog.String("route", "/auth/verify"),
					slog.Int("status", 200), slog.Int64("duration_us", 12), slog.String("client", "127.0.0.1"), slog.String("provider", "official_account"))
				_ = handler.Handle(context.Background(), record)
			}
		})
	}
}
