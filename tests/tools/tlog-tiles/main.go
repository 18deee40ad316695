// tlog-tiles reads a published log with code that this project did not write: the TileReader of the
// Go team's golang.org/x/mod/sumdb/tlog, which proves every tile it is given up to the signed root.
//
//	tlog-tiles VKEY PREFIX [OLD_HEAD]
//
// PREFIX is a folder, an http:// or an https:// address. Every record is read and proven to be in the tree that
// VKEY signed; OLD_HEAD, a file with an older signed tree head, is proven to be its beginning.
// Exit 0 and one line, or exit 1 and why.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8 // of a C2SP tile, which is why its paths do not say it

func main() {
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: tlog-tiles VKEY PREFIX [OLD_HEAD]")
		os.Exit(2)
	}
	if err := run(os.Args[1], site(os.Args[2]), os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "tlog-tiles:", err)
		os.Exit(1)
	}
}

func run(vkey string, log site, old []string) error {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return err
	}
	head, err := log.read("checkpoint")
	if err != nil {
		return err
	}
	tree, err := openHead(head, verifier)
	if err != nil {
		return err
	}
	hashes := tlog.TileHashReader(tree, log)
	records, err := checkRecords(log, tree, hashes)
	if err != nil {
		return err
	}
	for _, path := range old {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		before, err := openHead(text, verifier)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(tree.N, before.N, hashes)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, before.N, before.Hash); err != nil {
			return fmt.Errorf("%d records are not the beginning of %d: %w", before.N, tree.N, err)
		}
	}
	fmt.Printf("ok: %d records, root %s\n", records, tree.Hash)
	return nil
}

func openHead(text []byte, verifier note.Verifier) (tlog.Tree, error) {
	signed, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tlog.Tree{}, errors.New("not a tree head of this log")
	}
	var tree tlog.Tree
	if _, err := fmt.Sscan(lines[1], &tree.N); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// checkRecords proves the record of every bundle to be in the tree, each with a proof of its own.
func checkRecords(log site, tree tlog.Tree, hashes tlog.HashReader) (int64, error) {
	var n int64
	for n < tree.N {
		width := tree.N - n
		if width > 1<<height {
			width = 1 << height
		}
		tile := tlog.Tile{H: height, L: -1, N: n >> height, W: int(width)}
		bundle, err := log.read(pathOf(tile))
		if err != nil {
			return n, err
		}
		for ; width > 0; width-- {
			if len(bundle) < 2 || len(bundle) < 2+int(bundle[0])<<8+int(bundle[1]) {
				return n, fmt.Errorf("record %d is cut short", n)
			}
			size := int(bundle[0])<<8 + int(bundle[1])
			record := bundle[2 : 2+size]
			bundle = bundle[2+size:]
			proof, err := tlog.ProveRecord(tree.N, n, hashes)
			if err != nil {
				return n, err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, n, tlog.RecordHash(record)); err != nil {
				return n, fmt.Errorf("record %d: %w", n, err)
			}
			n++
		}
		if len(bundle) != 0 {
			return n, fmt.Errorf("more in the bundle than record %d", n-1)
		}
	}
	return n, nil
}

// site is where the files are: a tlog.TileReader.
type site string

func (s site) read(path string) ([]byte, error) {
	if !strings.HasPrefix(string(s), "http://") && !strings.HasPrefix(string(s), "https://") {
		return os.ReadFile(filepath.Join(string(s), filepath.FromSlash(path)))
	}
	answer, err := http.Get(strings.TrimSuffix(string(s), "/") + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

// pathOf is the path of C2SP tlog-tiles: that of the Go team without the height, records elsewhere.
func pathOf(tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
	return strings.Replace(path, "tile/data/", "tile/entries/", 1)
}

func (s site) Height() int { return height }

func (s site) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		bytes, err := s.read(pathOf(tile))
		if err != nil {
			return nil, err
		}
		data[i] = bytes
	}
	return data, nil
}

func (s site) SaveTiles([]tlog.Tile, [][]byte) {}
