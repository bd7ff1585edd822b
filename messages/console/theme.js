// Before anything is painted, so that nothing flashes: the colours that were chosen last.
{
  const chosen = localStorage.getItem("messages.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
