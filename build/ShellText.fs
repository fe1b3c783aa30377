/// Sentences as the completions of the shells write them, inside single quotes, and as manual pages do.
module Agent.Build.ShellText

open System.Text.RegularExpressions

/// For zsh: its own brackets and colons are escaped, and a quotation mark ends the quotation for as long as it takes.
let zsh (text: string) : string =
    Regex.Replace(text.Replace("'", @"'\''"), @"[\[\]:]", @"\$0")

/// For fish.
let fish (text: string) : string =
    text.Replace(@"\", @"\\").Replace("'", @"\'")

/// For roff, as man reads it: backslashes, hyphens, and a dot or an apostrophe at the beginning of a line.
let roff (text: string) : string =
    let escaped = text.Replace(@"\", @"\e").Replace("-", @"\-")

    if escaped.StartsWith '.' || escaped.StartsWith ''' then
        @"\&" + escaped
    else
        escaped
