/// Laws of registering: slugs from names, and what a request to add a server may say.
module Agent.PropertyTests.Dashboard.RegistrationLaws

open System
open System.Text
open Agent.Core
open Agent.Receiver
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck.FSharp

let private names =
    Gen.oneof
        [
            anyText
            phrase
            Gen.arrayOf word |> Gen.map (String.concat "-")
            Gen.map (String.replicate 30) word
        ]

let private bodyOf (members: (string * string) list) : ReadOnlyMemory<byte> =
    Encode.object [ for name, text in members -> name, Encode.string text ]
    |> Encode.toString 0
    |> Encoding.UTF8.GetBytes
    |> ReadOnlyMemory

let tests =
    testList
        "Registering"
        [
            law "every name gives a slug, in lower case, and a slug of that kind gives itself" names (fun name ->
                let slug = Registration.slugOf name

                Registration.isSlug slug
                && not (Seq.exists Char.IsAsciiLetterUpper slug)
                && Registration.slugOf slug = slug)

            law "a slug has the letters and digits of its name in their order, as far as it reaches" names (fun name ->
                let ofName =
                    name
                    |> String.filter (fun c -> Char.IsAsciiLetterOrDigit c || c = '_')
                    |> _.ToLowerInvariant()

                let ofSlug = (Registration.slugOf name).Replace("-", "")

                if ofName = "" then
                    ofSlug = "machine"
                else
                    ofName.StartsWith(ofSlug, StringComparison.Ordinal))

            law "any bytes at all are a server with a name and a slug, or are refused with a reason" anyBytes (fun bytes ->
                match Registering.read (ReadOnlyMemory bytes.Content) with
                | Ok addition -> addition.Name <> "" && Registration.isSlug addition.Slug
                | Error refusal -> refusal.Detail <> "")

            law "a name is kept as it was given but for the white space around it, or refused" names (fun name ->
                let isGood =
                    name.Trim() <> ""
                    && name.Trim().Length <= 120
                    && not (Seq.exists Char.IsControl (name.Trim()))

                match Registering.read (bodyOf [ "name", name ]) with
                | Ok addition ->
                    isGood
                    && addition.Name = name.Trim()
                    && addition.Slug = Registration.slugOf name
                | Error _ -> not isGood)
        ]
