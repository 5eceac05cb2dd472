// SPDX-License-Identifier: BSD-3-Clause

package becket

// #include "abi.h"
import "C"

import (
	"encoding/json"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Config is the plugin's configuration, a JSON object; empty if there is none.
func (p *Plugin) Config() string {
	if p.c == nil {
		return p.config
	}
	return goText(C.bk_go_config(p.c))
}

// DecodeConfig decodes the configuration into v, as [json.Unmarshal] does.
func (p *Plugin) DecodeConfig(v any) error {
	config := p.Config()
	if config == "" {
		return nil
	}
	return json.Unmarshal([]byte(config), v)
}

// ConfigGet is one value by its dotted key: text bare, anything else as JSON. A
// key that is not set, or set to the empty text, is not ok.
func (p *Plugin) ConfigGet(key string) (value string, ok bool) {
	if p.c == nil {
		return "", false
	}
	text, n := cText(key)
	value = goText(C.bk_go_config_get(p.c, text, n))
	return value, value != ""
}

// goText copies a text of the host.
func goText(text C.NrStr) string {
	if text.len == 0 {
		return ""
	}
	return C.GoStringN((*C.char)(unsafe.Pointer(text.ptr)), C.int(text.len))
}

// Counter is a number that only grows.
type Counter struct{ *metric }

// Gauge is a number that is set.
type Gauge struct{ *metric }

// Histogram is a distribution of recorded values.
type Histogram struct{ *metric }

// Counter declares a counter, which the host shows under the plugin's name. A
// metric may be declared at any time, also before the plugin is loaded.
func (p *Plugin) Counter(name, help string) Counter {
	return Counter{p.metrics.declare(p, C.BK_METRIC_COUNTER, name, help)}
}

// Gauge declares a gauge.
func (p *Plugin) Gauge(name, help string) Gauge {
	return Gauge{p.metrics.declare(p, C.BK_METRIC_GAUGE, name, help)}
}

// Histogram declares a histogram.
func (p *Plugin) Histogram(name, help string) Histogram {
	return Histogram{p.metrics.declare(p, C.BK_METRIC_HISTOGRAM, name, help)}
}

// Add adds n; nothing happens where the host has no metrics.
func (c Counter) Add(n uint64) {
	if id, ok := c.registered(); ok {
		C.bk_go_counter_add(c.plugin.c, id, C.uint64_t(n))
	}
}

// Set sets the value; nothing happens where the host has no metrics.
func (g Gauge) Set(value float64) {
	if id, ok := g.registered(); ok {
		C.bk_go_gauge_set(g.plugin.c, id, C.double(value))
	}
}

// Record records one value; nothing happens where the host has no metrics.
func (h Histogram) Record(value float64) {
	if id, ok := h.registered(); ok {
		C.bk_go_histogram_record(h.plugin.c, id, C.double(value))
	}
}

// metric is declared by the plugin, and has an id once the host is there.
type metric struct {
	plugin     *Plugin
	kind       uint32
	name, help string
	id         atomic.Uint32 // the host's; BK_METRIC_UNKNOWN before
}

func (m *metric) registered() (C.uint32_t, bool) {
	id := m.id.Load()
	return C.uint32_t(id), id != C.BK_METRIC_UNKNOWN
}

// metricList is what was declared; attach registers it.
type metricList struct {
	mu       sync.Mutex
	metrics  []*metric
	attached bool
}

func (l *metricList) declare(p *Plugin, kind uint32, name, help string) *metric {
	m := &metric{plugin: p, kind: kind, name: name, help: help}
	m.id.Store(C.BK_METRIC_UNKNOWN)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.metrics = append(l.metrics, m)
	if l.attached {
		m.register()
	}
	return m
}

func (l *metricList) register() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attached = true
	for _, m := range l.metrics {
		m.register()
	}
}

func (m *metric) register() {
	name, nameLen := cText(m.name)
	help, helpLen := cText(m.help)
	m.id.Store(uint32(C.bk_go_metric_register(m.plugin.c, C.uint32_t(m.kind), name, nameLen,
		help, helpLen)))
}
