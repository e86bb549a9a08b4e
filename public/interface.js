// Swagger UI, with what it leaves out for those who use no mouse. Without deep links a method's
// line is one button, and not a button with a link in it.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#interface", deepLinking: false, presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout" })

// What scrolls can be reached with the Tab key; what holds a picture only has a name.
const NAMES = { ".copy-to-clipboard button": "Copy", ".try-out__btn": "Try it out", ".opblock-control-arrow": "Show or hide", ".models-control": "Show or hide the schemas" }
let waits = false
function mend() {
  waits = false
  for (const part of document.querySelectorAll("pre:not([tabindex]), .microlight:not([tabindex]), .highlight-code > *:not([tabindex])")) part.tabIndex = 0
  for (const [selector, name] of Object.entries(NAMES)) {
    for (const button of document.querySelectorAll(`:is(${selector}):not([aria-label])`)) if (!button.textContent.trim()) button.setAttribute("aria-label", name)
  }
  for (const field of document.querySelectorAll("#interface :is(select, textarea, input):not([aria-label], [id])")) {
    field.setAttribute("aria-label", field.closest("[data-param-name]")?.dataset.paramName ?? (field.tagName === "SELECT" ? "Media type" : "Body of the request"))
  }
}
new MutationObserver(() => {
  if (waits) return
  waits = true
  setTimeout(mend, 250)
}).observe(document.querySelector("#interface"), { childList: true, subtree: true })
