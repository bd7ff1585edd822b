// Elements. Text goes in as text: nothing in this page is ever parsed as HTML.

/** An element with attributes, listeners (`onclick`) and children (nodes and texts). */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(
    ...children.flat().filter((child) => child !== undefined && child !== null && child !== false),
  );
  return element;
}

/** Puts a text into an element, if it is another one: what does not change is not announced again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A field with its label. */
export function field(label, input, hint) {
  const parts = [h("span", { class: "label" }, label), input];
  if (hint) parts.push(h("span", { class: "hint" }, hint));
  return h("label", { class: "field" }, parts);
}

/** A short message at the edge of the page, which screen readers read. */
export function toast(text, kind = "info") {
  const note = h("div", { class: `toast ${kind}` }, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), kind === "error" ? 9000 : 4000);
}

/**
 * A dialog with a form. `act` is given what the fields hold; the dialog closes when it is through, and
 * shows what is wrong when it throws. Resolves with what `act` returns, or undefined when cancelled.
 */
export function ask({ title, text, fields = [], button, danger = false, kind = "", act }) {
  return new Promise((resolve) => {
    const wrong = h("p", { class: "wrong", role: "alert" });
    const submit = h("button", { class: danger ? "danger" : "primary" }, button);
    const cancel = h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Cancel");
    const form = h(
      "form",
      {},
      h("h2", { id: "dialog-title" }, title),
      text && h("p", {}, text),
      fields,
      wrong,
      h("div", { class: "row end" }, cancel, submit),
    );
    const dialog = h("dialog", { class: kind, "aria-labelledby": "dialog-title" }, form);
    let result;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      submit.disabled = true;
      wrong.textContent = "";
      try {
        result = await act(Object.fromEntries(new FormData(form)));
        dialog.close();
      } catch (error) {
        wrong.textContent = error.message;
      } finally {
        submit.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    if (danger) cancel.focus();
  });
}

/** Calls `work` now and again `ms` after each time it is through, while the page is looked at. */
export function repeat(work, ms, signal) {
  let timer;
  const turn = async () => {
    clearTimeout(timer);
    if (signal.aborted) return;
    if (!document.hidden) await work();
    if (!signal.aborted) timer = setTimeout(turn, ms);
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  turn();
  return turn;
}
