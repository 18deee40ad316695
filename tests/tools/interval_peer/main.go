// interval-peer checks leaves of the state map with the tlog package of the Go team: on each line of
// standard input the number of leaves, the root, the index, the leaf and its siblings, base64 where
// they are bytes. Prints "yes" or "no" for each.
package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

func hash(text string) (out tlog.Hash, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(text)
	copy(out[:], raw)
	return out, err == nil && len(raw) == tlog.HashSize
}

func check(words []string) bool {
	if len(words) < 4 {
		return false
	}
	size, err := strconv.ParseInt(words[0], 10, 64)
	index, err2 := strconv.ParseInt(words[2], 10, 64)
	leaf, err3 := base64.StdEncoding.DecodeString(words[3])
	root, ok := hash(words[1])
	if err != nil || err2 != nil || err3 != nil || !ok {
		return false
	}
	var path tlog.RecordProof
	for _, word := range words[4:] {
		sibling, ok := hash(word)
		if !ok {
			return false
		}
		path = append(path, sibling)
	}
	return tlog.CheckRecord(path, size, root, index, tlog.RecordHash(leaf)) == nil
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if check(strings.Fields(lines.Text())) {
			fmt.Println("yes")
		} else {
			fmt.Println("no")
		}
	}
}
