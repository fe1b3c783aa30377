module Agent.Sender.Tests.TerminalJsonTests

open System.Text.Json
open Agent.Sender
open Expecto

[<Tests>]
let tests =
    testList
        "TerminalJson"
        [
            testCase "what a terminal would act upon is escaped, and the text reads as before"
            <| fun () ->
                let name = "NV\u001b[31m\u202eY\u009bZ\u2028W\u2066V\u200eU\u061c\u00ad\ufeff\u007f\U000E0041 é 漢 x"

                let options =
                    JsonSerializerOptions(Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

                let json = "{\n\t\"a\": " + JsonSerializer.Serialize(name, options) + "\n}\n"
                let shown = TerminalJson.escaped json

                Expect.equal
                    (shown
                     |> String.filter (fun c ->
                         c > '\u007e' && c < '\u00a0'
                         || "\u202e\u2028\u2066\u200e\u061c\u00ad\ufeff\udb40\udc41".Contains c))
                    ""
                    "nothing that acts"

                Expect.stringContains shown " é 漢 x" "what is shown stays"
                use document = JsonDocument.Parse shown
                Expect.equal (document.RootElement.GetProperty("a").GetString()) name "the same JSON"

            testCase "a text without any is as it was"
            <| fun () ->
                Expect.equal (TerminalJson.escaped "{\"a\": [1,\n \"\U0001F300\"]}\n") "{\"a\": [1,\n \"\U0001F300\"]}\n" "unchanged"
        ]
