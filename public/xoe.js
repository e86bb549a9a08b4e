// Runs before the page is drawn.

// The theme follows the system until the visitor picks one; Chainlit's own default is dark.
if (!localStorage.getItem("vite-ui-theme")) {
  localStorage.setItem("vite-ui-theme", "system")
}
