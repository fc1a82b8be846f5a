package examples_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"wxbridge/examples"
	"wxbridge/internal/testenv"
)

const helper = "miniprogram/utils/wxbridge.js"

// The scenarios are in testdata/helper_test.js: each is one sentence about the helper, run in a Node process of its own.
func TestMiniProgramHelper(t *testing.T) {
	node := testenv.Program(t, "node")
	scenarios := strings.Fields(runNode(t, node, "list"))
	for _, want := range []string{"fiftyAtOnce", "replayOnce", "secondRefusalIsAnError",
		"failedLoginRejectsAllAndTheNextWorks", "storageSurvivesARestart", "phoneOnTheFirstTap", "userInfoWithLoginsRacing",
		"staleSessionLogsInAndAsksAgain", "secondStaleSessionIsAnError"} {
		if !slices.Contains(scenarios, want) {
			t.Errorf("scenario %s is missing", want)
		}
	}
	for _, scenario := range scenarios {
		t.Run(scenario, func(t *testing.T) {
			runNode(t, node, scenario)
		})
	}
}

// WeChat's DevTools refuse a project whose files do not match its app.json.
func TestMiniProgramIsAWholeProject(t *testing.T) {
	program := examples.MiniProgram()
	var app struct {
		Pages           []string
		SitemapLocation string
		ThemeLocation   string
	}
	readJSON(t, program, "app.json", &app)
	files := []string{"app.js", "app.wxss", "project.config.json", "utils/wxbridge.js", app.SitemapLocation, app.ThemeLocation}
	for _, page := range app.Pages {
		files = append(files, page+".js", page+".json", page+".wxml", page+".wxss")
	}
	if len(app.Pages) == 0 {
		t.Error("app.json lists no page")
	}
	for _, name := range files {
		if path.Ext(name) == ".json" {
			readJSON(t, program, name, new(map[string]any))
		} else if _, err := fs.Stat(program, name); err != nil {
			t.Error(err)
		}
	}
}

func readJSON(t *testing.T, files fs.FS, name string, into any) {
	t.Helper()
	raw, err := fs.ReadFile(files, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func runNode(t *testing.T, node, scenario string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, node, "testdata/helper_test.js", helper, scenario).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", scenario, err, out)
	}
	return string(out)
}
