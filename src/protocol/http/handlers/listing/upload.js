const form = document.querySelector("form");
const uploads = document.getElementById("uploads");
const waiting = [];
let inProgress = 0;

let latest = 0;

// Reloads the table and the footer from the server. If the request fails, the old ones stay.
async function refresh() {
  const turn = (latest += 1);
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (turn !== latest) return;
  for (const part of ["main", "footer"]) {
    document.querySelector(part).replaceWith(fresh.querySelector(part));
  }
  dress();
}

function human(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1023.95 && unit < 4; unit += 1) bytes /= 1024;
  return `${bytes.toFixed(unit > 0 && bytes < 99.95 ? 1 : 0)} ${units[unit]}`;
}

function left(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} s left`;
  return seconds < 3600 ? `${Math.ceil(seconds / 60)} min left` : `${(seconds / 3600).toFixed(1)} h left`;
}

// Adds a line for a file: its name, its progress and a button that stops the upload.
function line(name) {
  const item = document.createElement("li");
  item.append(document.createElement("b"), document.createElement("progress"), document.createElement("span"));
  const [title, progress, state] = item.children;
  const stop = document.createElement("button");
  stop.type = "button";
  stop.textContent = "Stop";
  stop.setAttribute("aria-label", `Stop ${name}`);
  title.textContent = name;
  progress.setAttribute("aria-label", name);
  progress.max = 1;
  progress.value = 0;
  state.textContent = "waiting";
  item.ariaBusy = "true";
  item.append(stop);
  uploads.append(item);
  return { item, progress, state, stop };
}

function end(shown, className, text) {
  shown.item.className = className;
  shown.item.ariaBusy = "false";
  shown.state.textContent = text;
  shown.progress.remove();
  shown.stop.textContent = "Hide";
  shown.stop.onclick = () => shown.item.remove();
}

function add(file) {
  const shown = line(file.name);
  const job = { file, shown };
  shown.stop.onclick = () => {
    waiting.splice(waiting.indexOf(job), 1);
    end(shown, "failed", "stopped");
  };
  waiting.push(job);
  next();
}

// Two uploads at a time: small files overlap, and a large file does not delay the others.
function next() {
  while (inProgress < 2 && waiting.length > 0) {
    const { file, shown } = waiting.shift();
    inProgress += 1;
    send(file, shown).then(
      (text) => end(shown, "done", text),
      (why) => end(shown, "failed", why.message),
    ).finally(() => {
      inProgress -= 1;
      next();
      if (inProgress === 0) refresh();
    });
  }
}

// Throws an error for a file that the server would refuse, so that it is not sent.
async function check(file, address) {
  if (/^\.|[\0-\x1f\x7f-\x9f/]/.test(file.name) || new TextEncoder().encode(file.name).length > 255) {
    throw new Error("the name cannot be that of a file here");
  }
  const most = Number(form.dataset.max);
  if (file.size > most) throw new Error(`larger than the ${human(most)} that are taken`);
  if ("rename" in form.dataset) return;
  const there = await fetch(address, { method: "HEAD", cache: "no-store" }).catch(() => {
    throw new Error("the server cannot be reached");
  });
  if (!there.ok) return;
  if (!("replace" in form.dataset)) throw new Error("a file with this name exists");
  if (!confirm(`Replace ${file.name}?`)) throw new Error("kept as it was");
}

async function send(file, shown) {
  const request = new XMLHttpRequest();
  let stopped = false;
  shown.stop.onclick = () => {
    stopped = true;
    request.abort();
  };
  const address = "./" + encodeURIComponent(file.name);
  shown.state.textContent = "starting";
  await check(file, address);
  if (stopped) throw new Error("stopped");
  const began = performance.now();
  request.upload.onprogress = ({ loaded, total }) => {
    shown.progress.value = total > 0 ? loaded / total : 1;
    const parts = [`${Math.floor(shown.progress.value * 100)} %`];
    const seconds = (performance.now() - began) / 1000;
    if (loaded > 0 && seconds > 0.1) {
      parts.push(`${human(loaded / seconds)}/s`, left(((total - loaded) / loaded) * seconds));
    }
    shown.state.textContent = parts.join(" · ");
  };
  await new Promise((done, failed) => {
    request.onload = done;
    request.onabort = () => failed(new Error("stopped"));
    request.onerror = () => failed(new Error("the connection was lost, or the file cannot be read"));
    request.open("PUT", address);
    request.setRequestHeader("Accept", "application/json");
    request.send(file);
  });
  if (request.status >= 300) {
    let why = `refused with ${request.status} ${request.statusText}`;
    try {
      why = JSON.parse(request.responseText).detail;
    } catch {}
    throw new Error(why);
  }
  // The response has content only if the name was taken and the file got another one.
  const as = request.responseText ? ` as ${JSON.parse(request.responseText).name}` : "";
  return `stored${as}, ${human(file.size)}`;
}

function drop(event) {
  for (const item of event.dataTransfer.items) {
    const [file, entry] = [item.getAsFile(), item.webkitGetAsEntry()];
    if (entry?.isDirectory) {
      end(line(entry.name), "failed", "folders cannot be uploaded");
    } else if (file) {
      add(file);
    }
  }
}

const picker = form.querySelector("input");
picker.addEventListener("change", () => {
  [...picker.files].forEach(add);
  picker.value = "";
});
form.classList.add("live");
const brings = (event) => event.dataTransfer.types.includes("Files");
const over = (is) => document.body.classList.toggle("over", is);
addEventListener("dragover", (event) => {
  if (brings(event)) {
    event.preventDefault();
    over(true);
  }
});
addEventListener("dragleave", (event) => event.relatedTarget || over(false));
addEventListener("drop", (event) => {
  if (brings(event)) {
    event.preventDefault();
    over(false);
    drop(event);
  }
});
addEventListener("beforeunload", (event) => {
  if (inProgress > 0) event.preventDefault();
});
