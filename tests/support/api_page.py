"""The API's own page: its example of an execution."""

import json

# The 200 of the API page, word for word
PAGE = json.loads("""
{
  "id": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
  "workflowId": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
  "status": "CREATED",
  "temporalWorkflowId": "<string>",
  "startedAt": "<string>",
  "completedAt": "<string>",
  "customerLeadId": "<string>",
  "metadata": {"firstName": "<string>", "lastName": "<string>"},
  "disposition": "NO_ANSWER",
  "definition": {
    "steps": [
      {
        "id": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
        "type": "CALL",
        "order": 2,
        "delayInSecs": 0,
        "needsTCPACompliance": true,
        "finishOn": [],
        "agentId": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
        "leaveVoicemail": false,
        "conditions": []
      }
    ]
  },
  "stepExecutions": [
    {
      "id": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
      "workflowExecutionId": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
      "status": "PENDING",
      "type": "CALL",
      "order": 123,
      "delayInSecs": 123,
      "needsTCPACompliance": true,
      "finishOn": ["NO_ANSWER"],
      "startedAt": "<string>",
      "completedAt": "<string>",
      "leaveVoicemail": true,
      "disposition": "NO_ANSWER",
      "agentId": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
      "agentCall": {
        "id": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
        "status": "<string>",
        "callStartedAt": "<string>",
        "callEndedAt": "<string>",
        "callDuration": 123,
        "callEndedReason": "NO_ANSWER",
        "recordingUrl": "<string>",
        "summary": "<string>"
      }
    }
  ],
  "createdAt": "<string>"
}
""")
