namespace Agent.Receiver.Alerts

open System
open Agent.Receiver

/// Which machines something is for: those of a slug, of a label, or of several labels at once.
type Target =
    {
        /// `rack=r1`, `gpu-node-1`, or several of them, which all have to fit. None fits every machine.
        Terms: string[]
    }

    /// As it was written: `rack=r1,team=vision`.
    member target.Text: string = String.Join(',', target.Terms)

/// Reading targets, and whether a machine is one.
[<RequireQualifiedAccess>]
module Target =
    /// A target has so many characters at most.
    [<Literal>]
    let LongestText = 300

    /// The most terms of a target.
    [<Literal>]
    let MostTerms = 8

    /// The target that a text names: labels such as `rack=r1` and slugs, separated by commas.
    [<CompiledName "Parse">]
    let parse (text: string) : Result<Target, string> =
        let terms = text.Split(',', StringSplitOptions.TrimEntries ||| StringSplitOptions.RemoveEmptyEntries)

        let isTerm (term: string) =
            match term.IndexOf '=' with
            | -1 -> Registration.isSlug term
            | at -> at > 0 && not (term |> Seq.exists Char.IsControl)

        if text.Length > LongestText then
            Error $"{text.Length} characters; at most {LongestText}"
        elif terms.Length = 0 then
            Error "expected a label such as rack=r1 or a machine's slug, found nothing"
        elif terms.Length > MostTerms then
            Error $"{terms.Length} labels and slugs; at most {MostTerms}"
        else
            match terms |> Array.tryFind (isTerm >> not) with
            | Some term -> Error $"expected a label such as rack=r1 or a machine's slug, found \"{Intake.cut 40 term}\""
            | None -> Ok { Terms = terms }

    /// Whether a machine of this slug and these labels (`rack=r1`) is one.
    [<CompiledName "Fits">]
    let fits (slug: string) (labels: string[]) (target: Target) : bool =
        target.Terms
        |> Array.forall (fun term ->
            if term.Contains '=' then
                Array.contains term labels
            else
                term = slug)

    /// Whether it is one of at least one of them; where there are none, every machine is.
    [<CompiledName "FitsAny">]
    let fitsAny (slug: string) (labels: string[]) (targets: Target[]) : bool =
        targets.Length = 0 || targets |> Array.exists (fits slug labels)
