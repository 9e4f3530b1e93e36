package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSingleIsADockerArchive(t *testing.T) {
	archive, err := Single("example.local/pause:1", []byte("the program"))
	if err != nil {
		t.Fatal(err)
	}
	files := untar(t, archive)

	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != 1 || len(manifest[0].Layers) != 1 {
		t.Fatalf("manifest = %+v, want one image of one layer", manifest)
	}
	if diff := cmp.Diff([]string{"example.local/pause:1"}, manifest[0].RepoTags); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	layer := files[manifest[0].Layers[0]]
	if got := string(untar(t, layer)["program"]); got != "the program" {
		t.Errorf("program = %q", got)
	}

	var config struct {
		OS     string `json:"os"`
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(files[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))}
	if diff := cmp.Diff(want, config.RootFS.DiffIDs); diff != "" {
		t.Errorf("hashes of the layers (-want +got):\n%s", diff)
	}
}

func untar(t *testing.T, raw []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
