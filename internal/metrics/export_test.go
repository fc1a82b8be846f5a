package metrics

import "github.com/prometheus/client_golang/prometheus/testutil"

// Lint is what Prometheus' own linter says of our metrics.
func Lint(m *Metrics) (problems []string, err error) {
	found, err := testutil.GatherAndLint(m.registry)
	for _, p := range found {
		problems = append(problems, p.Metric+": "+p.Text)
	}
	return problems, err
}
