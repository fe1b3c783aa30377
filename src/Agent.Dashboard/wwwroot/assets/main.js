// One document, two pages: what the address asks for.

await import(location.pathname.startsWith("/servers/") ? "./machine.js" : "./fleet.js");
