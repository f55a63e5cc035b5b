"use strict";
// Keep the token for this origin (its port too, unlike a cookie) and go to the page, so that no address shows it.
localStorage.setItem("nirfire-token", new URLSearchParams(location.search).get("token"));
location.replace(`/${location.hash}`);
