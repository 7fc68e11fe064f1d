// yaml-json prints the documents of YAML files as one JSON list; "-" is the standard input.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"

	"sigs.k8s.io/yaml"
)

var separator = regexp.MustCompile(`(?m)^---.*$`)

func read(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}

func documents(name string) ([]any, error) {
	text, err := read(name)
	if err != nil {
		return nil, err
	}
	var found []any
	for _, part := range separator.Split(string(text), -1) {
		var document any
		if err := yaml.Unmarshal([]byte(part), &document); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if document != nil {
			found = append(found, document)
		}
	}
	return found, nil
}

func main() {
	all := []any{}
	for _, name := range os.Args[1:] {
		found, err := documents(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "yaml-json:", err)
			os.Exit(1)
		}
		all = append(all, found...)
	}
	var text bytes.Buffer
	if err := json.NewEncoder(&text).Encode(all); err != nil {
		fmt.Fprintln(os.Stderr, "yaml-json:", err)
		os.Exit(1)
	}
	os.Stdout.Write(text.Bytes())
}
