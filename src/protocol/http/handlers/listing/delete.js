document.addEventListener("click", async ({ target }) => {
  const button = target.closest("button.delete");
  if (!button || !confirm(`Delete ${button.value}?`)) return;
  const address = "./" + encodeURIComponent(button.value);
  try {
    const answer = await fetch(address, { method: "DELETE", headers: { Accept: "application/json" } });
    if (!answer.ok) alert((await answer.json()).detail);
  } catch {
    alert("The server cannot be reached");
  }
  await refresh();
  document.getElementById("filter").focus();
});
