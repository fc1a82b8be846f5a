//go:build race

package handlers_test

// herd is smaller under the race detector, which makes each login ten times as slow: calls of WeCom have a deadline.
const herd = 150
