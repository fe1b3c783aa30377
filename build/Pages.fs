/// Pages of which a part is written by `build.fsx -t Docs`, and the rest by people.
module Agent.Build.Pages

open System

/// The page with the part put between its marks; the page as it is where they are missing.
let withPart (first: string, last: string) (part: string) (page: string) : string =
    let from = page.IndexOf(first, StringComparison.Ordinal)
    let upTo = page.IndexOf(last, StringComparison.Ordinal)

    if from < 0 || upTo < from then
        page
    else
        page.Substring(0, from + first.Length) + part + page.Substring upTo
