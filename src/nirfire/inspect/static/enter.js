"use strict";
// Keep the token for this origin (its port too, unlike a cookie) and go to the page, so that no address shows it.
try {
  localStorage.setItem("nirfire-token", new URLSearchParams(location.search).get("token"));
  location.replace(`/${location.hash}`);
} catch (problem) {
  const said =
    `This browser keeps nothing for ${location.host} (${problem.name}), and the page needs that for its token and for ` +
    "votes on their way: allow site data for this address, or make room, and open the printed address again.";
  addEventListener("DOMContentLoaded", () => document.body.append(said));
}
