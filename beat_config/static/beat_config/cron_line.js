// Cron lines as what can be clicked, and back. Pure: no page.
const CronLine = (() => {
  const MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
  const DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
  const MACROS = { "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@hourly": "0 * * * *" };
  // Minutes between two runs: parts of an hour, and whole hours that divide the day.
  const STEPS = [1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 720];
  const MOST_TIMES = 12;

  // The numbers of a field, in order; null where it says anything but numbers and ranges of them.
  function numbers(text, first, last, names = []) {
    const found = new Set();
    for (const item of text.toUpperCase().split(",")) {
      const [from, to, ...more] = item.split("-").map((part) => {
        const named = names.indexOf(part);
        return named >= 0 ? named + (names === MONTHS ? 1 : 0) : /^\d{1,2}$/.test(part) ? Number(part) : NaN;
      });
      const end = to ?? from;
      if (more.length || !(from >= first && end <= last && from <= end)) return null;
      for (let number = from; number <= end; number++) found.add(number);
    }
    return [...found].sort((a, b) => a - b);
  }

  const padded = (number) => String(number).padStart(2, "0");

  function again(minute, hour) {
    const hours = hour.match(/^(?:\*|(\d{1,2})-(\d{1,2}))(?:\/(\d{1,2}))?$/);
    if (!hours) return null;
    const [from, to] = [Number(hours[1] ?? 0), Number(hours[2] ?? 23)];
    if (from >= to || to > 23) return null;
    const minutes = minute === "*" ? 1 : Number(minute.match(/^\*\/(\d{1,2})$/)?.[1] ?? NaN);
    const step = minute === "0" ? 60 * Number(hours[3] ?? 1) : hours[3] ? NaN : minutes;
    return STEPS.includes(step) && (minute === "0") === (step >= 60) ? { how: "again", step, from, to } : null;
  }

  function times(minute, hour) {
    const minutes = numbers(minute, 0, 59);
    const hours = numbers(hour, 0, 23);
    if (!minutes || !hours || minutes.length * hours.length > MOST_TIMES) return null;
    return { how: "times", times: hours.flatMap((h) => minutes.map((m) => `${padded(h)}:${padded(m)}`)) };
  }

  // What a line says as {days, weekdays, monthdays, months, how, times | step, from, to}; null when clicking cannot.
  function read(line) {
    const parts = (MACROS[line.trim().toLowerCase()] ?? line.trim()).split(/\s+/);
    if (parts.length === 6 && parts[0] === "0") parts.shift();
    if (parts.length !== 5) return null;
    const [minute, hour, day, month, weekday] = parts;
    const clock = again(minute, hour) ?? times(minute, hour);
    const months = month === "*" ? [] : numbers(month, 1, 12, MONTHS);
    if (!clock || !months || (day !== "*" && weekday !== "*")) return null;
    const said = { days: "every", weekdays: [], monthdays: [], months, ...clock };
    if (weekday !== "*") {
      const days = numbers(weekday, 0, 7, DAYS);
      return days && { ...said, days: "week", weekdays: [...new Set(days.map((each) => each % 7))].sort() };
    }
    if (day !== "*") {
      const items = day.toUpperCase().split(",");
      const plain = items.filter((item) => item !== "L");
      const days = plain.length ? numbers(plain.join(","), 1, 31) : [];
      return days && { ...said, days: "month", monthdays: items.includes("L") ? [...days, "L"] : days };
    }
    return said;
  }

  // "1-5,7" for 1, 2, 3, 4, 5, 7.
  function written(all) {
    const numbers = all.filter((each) => each !== "L").sort((a, b) => a - b);
    const parts = [];
    for (let start = 0; start < numbers.length;) {
      let end = start;
      while (numbers[end + 1] === numbers[end] + 1) end++;
      if (end - start > 1) parts.push(`${numbers[start]}-${numbers[end]}`);
      else parts.push(...numbers.slice(start, end + 1));
      start = end + 1;
    }
    return [...parts, ...(all.includes("L") ? ["L"] : [])].join(",");
  }

  // The line of what was clicked, and the times it has besides: a line runs at all its minutes in all its hours.
  function write(said) {
    const day = said.days === "month" ? written(said.monthdays) : "*";
    const weekday = said.days === "week" ? written(said.weekdays) : "*";
    const month = said.months.length && said.months.length < 12 ? written(said.months) : "*";
    const rest = `${day || "*"} ${month} ${weekday || "*"}`;
    if (said.how === "again") {
      const span = said.from === 0 && said.to === 23 ? "*" : `${said.from}-${said.to}`;
      const hours = said.step > 60 ? `${span}/${said.step / 60}` : span;
      const minutes = said.step >= 60 ? "0" : said.step === 1 ? "*" : `*/${said.step}`;
      return { line: `${minutes} ${hours} ${rest}`, besides: [] };
    }
    const wanted = new Set(said.times);
    const minutes = [...new Set(said.times.map((time) => Number(time.slice(3, 5))))].sort((a, b) => a - b);
    const hours = [...new Set(said.times.map((time) => Number(time.slice(0, 2))))].sort((a, b) => a - b);
    const all = hours.flatMap((h) => minutes.map((m) => `${padded(h)}:${padded(m)}`));
    return { line: `${written(minutes)} ${written(hours)} ${rest}`, besides: all.filter((time) => !wanted.has(time)) };
  }

  return { read, write, STEPS };
})();
