// Finds text in the lines of the output. Matches are marked as ranges: the lines stay as they are.
class LogSearch {
  constructor(lines) {
    this.lines = lines; // a function: the lines that are shown
    this.query = "";
    this.ranges = [];
    this.current = -1;
    this.marks = window.CSS?.highlights && window.Highlight ? CSS.highlights : null;
  }

  look(query) {
    this.query = query.toLowerCase();
    this.ranges = [];
    this.current = -1;
    this.add(this.lines());
    if (this.ranges.length) this.go(1);
  }

  // Lines that have come meanwhile.
  add(lines) {
    if (this.query) {
      for (const line of lines) this.ranges.push(...this.#within(line));
    }
    this.#mark();
  }

  go(step) {
    if (!this.ranges.length) return;
    this.current = (this.current + step + this.ranges.length) % this.ranges.length;
    this.#mark();
    this.ranges[this.current].startContainer.parentElement.scrollIntoView({ block: "center", inline: "nearest" });
  }

  get words() {
    if (!this.query) return "";
    if (!this.ranges.length) return "not found";
    return this.current < 0 ? `${this.ranges.length} found` : `${this.current + 1} of ${this.ranges.length}`;
  }

  #within(line) {
    const found = [];
    const text = line.textContent.toLowerCase();
    let at = text.indexOf(this.query);
    while (at >= 0) {
      found.push(this.#range(line, at, at + this.query.length));
      at = text.indexOf(this.query, at + this.query.length);
    }
    return found;
  }

  #range(line, from, to) {
    const range = document.createRange();
    const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
    let passed = 0;
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const end = passed + node.length;
      if (from >= passed && from < end) range.setStart(node, from - passed);
      if (to > passed && to <= end) {
        range.setEnd(node, to - passed);
        break;
      }
      passed = end;
    }
    return range;
  }

  #mark() {
    if (!this.marks) return;
    const current = this.ranges[this.current];
    this.marks.set("log-found", new Highlight(...this.ranges));
    this.marks.set("log-current", new Highlight(...(current ? [current] : [])));
  }
}
