namespace Agent.Receiver

open System
open System.Globalization
open System.Text.RegularExpressions
open FsToolkit.ErrorHandling
open Agent.Core

/// When an enrolment key stops being accepted.
[<RequireQualifiedAccess; NoComparison>]
type Expiry =
    /// Never.
    | Never
    /// This long after it was made.
    | After of time: TimeSpan
    /// At this instant.
    | At of instant: DateTimeOffset

    /// The instant for a key that is made now; none for never.
    member expiry.Of(now: DateTimeOffset) : DateTimeOffset voption =
        match expiry with
        | Never -> ValueNone
        | After time -> ValueSome(now + time)
        | At instant -> ValueSome instant

/// What `enrol-keys` does.
[<RequireQualifiedAccess; NoComparison>]
type EnrolKeyAction =
    /// Make a key of this name, whose machines get these labels, and write it into the file; print it where that is empty.
    | Add of name: string * labels: (struct (string * string))[] * expires: Expiry * file: string
    /// Remove one; its machines keep their tokens.
    | Remove of name: string
    /// List them.
    | List

    /// Calls the function for the case that this is.
    member action.Match
        (add: Func<string, (struct (string * string))[], Expiry, string, 'r>, remove: Func<string, 'r>, list: Func<'r>)
        : 'r =
        match action with
        | Add(name, labels, expires, file) -> add.Invoke(name, labels, expires, file)
        | Remove name -> remove.Invoke name
        | List -> list.Invoke()

/// The options of `enrol-keys`, checked.
[<NoComparison>]
type EnrolKeySettings =
    {
        /// The database with the keys.
        Database: string
        /// Where they are instead; none for the database.
        State: StateSettings voption
        /// What to do.
        Action: EnrolKeyAction
    }

/// Checks of the options of `enrol-keys`.
[<RequireQualifiedAccess>]
module internal EnrolKeySettings =
    /// The most labels of a key.
    [<Literal>]
    let MostLabels = 16

    /// The longest value of a label, in characters.
    [<Literal>]
    let LongestValue = 128

    let private labelName = Regex(@"\A[A-Za-z_][A-Za-z0-9_.-]{0,63}\z", RegexOptions.CultureInvariant)

    let private nameOf (text: string) : Result<string, ConfigError> =
        if Registration.isSlug text then
            Ok text
        else
            AccessSettings.refuse { Origin = "NAME"; Text = text } "is not a name: 1 to 64 letters, digits, - or _"

    let private labelOf (given: Given) (text: string) : Result<struct (string * string), ConfigError> =
        match text.IndexOf '=' with
        | at when
            at > 0
            && labelName.IsMatch(text.Substring(0, at).Trim())
            && text.Length - at - 1 <= LongestValue
            && not (Seq.exists Char.IsControl text)
            ->
            Ok(struct (text.Substring(0, at).Trim(), text.Substring(at + 1).Trim()))
        | _ -> AccessSettings.refuse { given with Text = text } "is not a label of the form key=value"

    let private labelsOf (given: Given) : Result<(struct (string * string))[], ConfigError> =
        let words =
            given.Text.Split(',', StringSplitOptions.TrimEntries ||| StringSplitOptions.RemoveEmptyEntries)

        words
        |> List.ofArray
        |> List.traverseResultM (labelOf given)
        |> Result.map Array.ofList
        |> Result.bind (fun labels ->
            if labels.Length > MostLabels then
                AccessSettings.refuse given $"has more than {MostLabels} labels"
            elif (labels |> Array.distinctBy (fun struct (name, _) -> name)).Length < labels.Length then
                AccessSettings.refuse given "has a label twice"
            else
                Ok labels)

    /// 12h, 30d or 2027-01-31, at the beginning of that day in UTC.
    let private expiryOf (given: Given) : Result<Expiry, ConfigError> =
        let text = given.Text.Trim()

        let number =
            match Int32.TryParse(text.TrimEnd('h', 'd'), NumberStyles.None, CultureInfo.InvariantCulture) with
            | true, count when count >= 1 && count <= 87600 -> ValueSome(float count)
            | _ -> ValueNone

        let date =
            DateTimeOffset.TryParseExact(
                text,
                "yyyy-MM-dd",
                CultureInfo.InvariantCulture,
                DateTimeStyles.AssumeUniversal ||| DateTimeStyles.AdjustToUniversal
            )

        match number, date with
        | ValueSome count, _ when text.EndsWith 'h' -> Ok(Expiry.After(TimeSpan.FromHours count))
        | ValueSome count, _ when text.EndsWith 'd' -> Ok(Expiry.After(TimeSpan.FromDays count))
        | _, (true, instant) -> Ok(Expiry.At instant)
        | _ when text = "never" -> Ok Expiry.Never
        | _ -> AccessSettings.refuse given "is not a time such as 12h, 30d, 2027-01-31 or never"

    /// To make a key of this name.
    let add (given: string -> Given voption) (name: Validation<string, ConfigError>) : Validation<EnrolKeyAction, ConfigError> =
        validation {
            let! name = name |> Result.bind (nameOf >> Validation.ofResult)
            and! labels = AccessSettings.optional given "--labels" [||] labelsOf
            and! expires = AccessSettings.optional given "--expires" (Expiry.After(TimeSpan.FromDays 30.0)) expiryOf
            and! file = AccessSettings.optional given "--key-file" "" AccessSettings.fileOf
            return EnrolKeyAction.Add(name, labels, expires, file)
        }

    /// To remove the key of this name.
    let remove (name: Validation<string, ConfigError>) : Validation<EnrolKeyAction, ConfigError> =
        name
        |> Result.bind (nameOf >> Validation.ofResult)
        |> Result.map EnrolKeyAction.Remove
