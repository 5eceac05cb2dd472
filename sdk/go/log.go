// SPDX-License-Identifier: BSD-3-Clause

package becket

// #include "abi.h"
import "C"

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
)

// Level is the weight of a log message; the host drops those it does not want.
type Level uint32

// The host's levels.
const (
	LevelError Level = C.BK_LOG_ERROR
	LevelWarn  Level = C.BK_LOG_WARN
	LevelInfo  Level = C.BK_LOG_INFO
	LevelDebug Level = C.BK_LOG_DEBUG
	LevelTrace Level = C.BK_LOG_TRACE
)

// Log gives one message to the host's log. Before the plugin is loaded there is
// no host, and nothing happens.
func (p *Plugin) Log(level Level, target, message string) {
	if p.c == nil {
		return
	}
	where, whereLen := cText(target)
	what, whatLen := cText(message)
	C.bk_go_log(p.c, C.uint32_t(level), where, whereLen, what, whatLen)
}

// LogEnabled tells whether a message of this level would go anywhere.
func (p *Plugin) LogEnabled(level Level) bool {
	return p.c != nil && C.bk_go_log_enabled(p.c, C.uint32_t(level)) != 0
}

// Logger is a [slog.Logger] into the host's log. Attributes follow the message
// as key=value; levels below [slog.LevelDebug] are the host's trace.
func (p *Plugin) Logger(target string) *slog.Logger {
	return slog.New(&logHandler{plugin: p, target: target})
}

// logHandler keeps the attributes of With in their final text.
type logHandler struct {
	plugin *Plugin
	target string
	attrs  string // " key=value" each
	groups string // "group." each
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return h.plugin.LogEnabled(levelOf(level))
}

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	line.WriteString(r.Message)
	line.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		writeAttr(&line, h.groups, a)
		return true
	})
	h.plugin.Log(levelOf(r.Level), h.target, line.String())
	return nil
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var text strings.Builder
	text.WriteString(h.attrs)
	for _, a := range attrs {
		writeAttr(&text, h.groups, a)
	}
	with := *h
	with.attrs = text.String()
	return &with
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.groups += name + "."
	return &with
}

func writeAttr(to *strings.Builder, groups string, a slog.Attr) {
	value := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			groups += a.Key + "."
		}
		for _, member := range value.Group() {
			writeAttr(to, groups, member)
		}
		return
	}
	to.WriteString(" " + groups + a.Key + "=")
	text := value.String()
	if text == "" || strings.ContainsAny(text, " \t\r\n\"=") {
		text = strconv.Quote(text)
	}
	to.WriteString(text)
}

func levelOf(level slog.Level) Level {
	switch {
	case level >= slog.LevelError:
		return LevelError
	case level >= slog.LevelWarn:
		return LevelWarn
	case level >= slog.LevelInfo:
		return LevelInfo
	case level >= slog.LevelDebug:
		return LevelDebug
	default:
		return LevelTrace
	}
}
