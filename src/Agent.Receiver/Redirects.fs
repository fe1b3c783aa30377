namespace Agent.Receiver

open System

/// Where a log-in leads.
[<RequireQualifiedAccess>]
module Redirects =
    /// Longer addresses are not followed.
    [<Literal>]
    let Longest = 2048

    /// A page of this dashboard, with its query, or "/" for anything that a browser could take for another host: browsers skip tabs
    /// and line ends in an address, and read a backslash as a slash. The log-in itself is no place to go to either.
    [<CompiledName "Home">]
    let home (asked: string) : string =
        let path = asked.Split('?', '#')[0]

        let isPrintable (c: char) = c > ' ' && c < '\127' && c <> '\\'

        let isHome =
            asked.StartsWith '/'
            && asked.Length <= Longest
            && Seq.forall isPrintable asked
            && not (path.Contains "//")
            && path <> "/login"
            && path <> "/logout"

        if isHome then asked else "/"

    /// The log-in that leads back to a path with its query ("?…" or empty).
    [<CompiledName "ToLogin">]
    let toLogin (path: string) (query: string) : string =
        match home (path + query) with
        | "/" -> "/login"
        | page -> "/login?next=" + Uri.EscapeDataString page
