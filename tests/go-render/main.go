// Renders a chart as Helm does, with Go's own text/template, Sprig's functions and Helm's include and toYaml: `render CHART VALUES`. What the tests'
// renderer (build/Helm/GoTemplate.fs) makes of a chart is compared with it. Debian: golang-go golang-github-masterminds-sprig-dev golang-k8s-sigs-yaml-dev.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type values = map[string]interface{}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(path string) values {
	text, err := os.ReadFile(path)
	check(err)
	found := values{}
	check(yaml.Unmarshal(text, &found, func(decoder *json.Decoder) *json.Decoder { decoder.UseNumber(); return decoder }))
	return found
}

func put(over values, onto values) {
	for name, value := range over {
		inner, isMap := value.(values)
		known, isKnown := onto[name].(values)
		if isMap && isKnown {
			put(inner, known)
		} else {
			onto[name] = value
		}
	}
}

func main() {
	chart := os.Args[1]
	given := read(filepath.Join(chart, "values.yaml"))
	put(read(os.Args[2]), given)
	about := read(filepath.Join(chart, "Chart.yaml"))
	root := values{
		"Values":  given,
		"Release": values{"Name": about["name"], "Namespace": "ai-dashboard", "Service": "kustomize"},
		"Chart":   values{"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]},
	}

	templates := template.New("chart").Option("missingkey=zero")
	functions := sprig.TxtFuncMap()
	functions["include"] = func(name string, data interface{}) (string, error) {
		var text strings.Builder
		err := templates.ExecuteTemplate(&text, name, data)
		return text.String(), err
	}
	functions["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	templates.Funcs(functions)

	files, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	check(err)
	sort.Strings(files)
	for _, path := range files {
		text, err := os.ReadFile(path)
		check(err)
		_, err = templates.New(filepath.Base(path)).Parse(string(text))
		check(err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		if strings.HasPrefix(name, "_") || name == "NOTES.txt" {
			continue
		}
		var text strings.Builder
		check(templates.ExecuteTemplate(&text, name, root))
		if rendered := strings.TrimSpace(text.String()); rendered != "" {
			fmt.Printf("=== %s\n%s\n", name, rendered)
		}
	}
}
